-- How many runs get labels.
SELECT count(*)
FROM public.flow_run
JOIN public.flow ON flow.id = flow_run.flow_id
JOIN public.flow_group ON flow_group.id = flow.flow_group_id
WHERE (flow_run.state = 'Scheduled' OR flow_run.updated >= now() - interval '1 day')
    AND CASE 'array'
        WHEN jsonb_typeof(flow_group.labels) THEN flow_group.labels <> '[]'
        WHEN jsonb_typeof(flow.environment -> 'labels') THEN flow.environment -> 'labels' <> '[]'
        ELSE false
    END
