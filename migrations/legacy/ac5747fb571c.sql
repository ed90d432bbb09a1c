-- Two tasks of a flow are joined by one edge: of its copies, however many, that of the greatest id stays.
DELETE FROM public.edge
USING (
    SELECT
        id,
        row_number() OVER (PARTITION BY flow_id, downstream_task_id, upstream_task_id ORDER BY id DESC) AS place
    FROM public.edge
) AS copy
WHERE edge.id = copy.id AND copy.place > 1;
ALTER TABLE public.edge
ADD CONSTRAINT edge_flow_id_task_ids_key UNIQUE (flow_id, downstream_task_id, upstream_task_id);
