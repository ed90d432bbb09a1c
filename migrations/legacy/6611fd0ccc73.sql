-- What a query can tell is no longer kept, and the first state of a run has version 1.
ALTER TABLE public.flow_run DROP COLUMN duration;
ALTER TABLE public.task_run DROP COLUMN duration, DROP COLUMN run_count;
ALTER TABLE public.flow_run_state ALTER COLUMN version SET DEFAULT 1;
ALTER TABLE public.task_run_state ALTER COLUMN version SET DEFAULT 1;
