-- How many runs get a run configuration.
SELECT count(*)
FROM public.flow_run
JOIN public.flow ON flow.id = flow_run.flow_id
WHERE (flow_run.state = 'Scheduled' OR flow_run.updated >= now() - interval '1 day')
    AND flow.run_config IS NOT NULL
