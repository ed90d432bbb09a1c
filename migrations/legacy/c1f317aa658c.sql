-- Runs no longer point at their latest state; the columns' foreign key and index go with them.
ALTER TABLE public.flow_run DROP COLUMN state_id;
ALTER TABLE public.task_run DROP COLUMN state_id;
