-- How many edges are deleted.
SELECT count(*) - count(DISTINCT (flow_id, downstream_task_id, upstream_task_id))
FROM public.edge
