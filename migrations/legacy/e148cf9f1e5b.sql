-- Task runs can be named.
ALTER TABLE public.task_run ADD COLUMN name varchar;
