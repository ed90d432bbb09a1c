SELECT coalesce(json_agg(r), '[]') FROM (
    SELECT id, timestamp, level, name, message, task_run_id FROM log
    WHERE flow_run_id = $1::uuid
    ORDER BY timestamp LIMIT $2::int
) AS r
