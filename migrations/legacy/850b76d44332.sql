-- Flows say how they are to be run.
ALTER TABLE public.flow ADD COLUMN run_config jsonb;
