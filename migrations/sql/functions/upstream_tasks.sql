-- Walks the edges of flows from the given tasks upstream, at most depth_limit (and never more than 50) steps.
-- A task that is reached along several ways appears once, with the greatest depth; a cycle runs to the limit.
-- UNION drops what one step finds twice, so that a wide flow does not multiply into its number of paths.
CREATE FUNCTION utility.upstream_tasks(start_task_ids uuid[], depth_limit integer DEFAULT 50)
RETURNS SETOF utility.traversal
LANGUAGE sql STABLE AS $$
    WITH RECURSIVE walk (tenant_id, task_id, depth) AS (
        SELECT task.tenant_id, task.id, 0
        FROM task
        WHERE task.id = ANY (start_task_ids)
        UNION
        SELECT edge.tenant_id, edge.upstream_task_id, walk.depth + 1
        FROM walk
        JOIN edge ON edge.downstream_task_id = walk.task_id
        WHERE walk.depth < 50 AND walk.depth < depth_limit
    )
    SELECT walk.tenant_id, walk.task_id, max(walk.depth)
    FROM walk
    GROUP BY walk.task_id, walk.tenant_id
    ORDER BY max(walk.depth), walk.task_id, walk.tenant_id
$$;
