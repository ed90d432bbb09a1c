-- Runs say how they are to be run. Those that are Scheduled or were updated in the last day take what their flow says.
ALTER TABLE public.flow_run ADD COLUMN run_config jsonb;
ALTER TABLE public.flow_group ADD COLUMN run_config jsonb;
UPDATE public.flow_run
SET run_config = flow.run_config
FROM public.flow
WHERE flow.id = flow_run.flow_id
    AND (flow_run.state = 'Scheduled' OR flow_run.updated >= now() - interval '1 day')
    AND flow.run_config IS NOT NULL;
