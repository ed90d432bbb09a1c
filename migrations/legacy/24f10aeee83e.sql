-- Runs get labels of their own. Those that are Scheduled or were updated in the last day take those of the flow group,
-- else of the flow's environment. What is no list counts as none; the default is a constant, so no row is rewritten
-- that gets no label.
ALTER TABLE public.flow_run ADD COLUMN labels jsonb NOT NULL DEFAULT '[]'::jsonb;
UPDATE public.flow_run
SET labels = CASE 'array'
    WHEN jsonb_typeof(flow_group.labels) THEN flow_group.labels
    ELSE flow.environment -> 'labels'
END
FROM public.flow JOIN public.flow_group ON flow_group.id = flow.flow_group_id
WHERE flow.id = flow_run.flow_id
    AND (flow_run.state = 'Scheduled' OR flow_run.updated >= now() - interval '1 day')
    AND CASE 'array'
        WHEN jsonb_typeof(flow_group.labels) THEN flow_group.labels <> '[]'
        WHEN jsonb_typeof(flow.environment -> 'labels') THEN flow.environment -> 'labels' <> '[]'
        ELSE false
    END;
