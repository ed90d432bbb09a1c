SELECT coalesce(json_agg(r), '[]') FROM (
    SELECT run.id, run.name, run.state, run.version, run.scheduled_start_time, run.state_start_time,
        run.parameters, run.serialized_state, json_build_object('id', flow.id, 'name', flow.name) AS flow
    FROM (
        SELECT * FROM flow_run AS asked
        WHERE asked.id = ANY($1::uuid[])
            AND (asked.state = $2::text OR asked.state = $3::text AND EXISTS (
                SELECT FROM task_run
                WHERE task_run.flow_run_id = asked.id AND task_run.state_start_time <= $4::timestamptz
            ))
        ORDER BY asked.scheduled_start_time LIMIT $5::int
    ) AS run
    JOIN flow ON flow.id = run.flow_id
    ORDER BY run.scheduled_start_time
) AS r
