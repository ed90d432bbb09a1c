SELECT json_build_object('flow_run', (
    SELECT coalesce(json_agg(r), '[]') FROM (
        SELECT run.id, run.name, run.state, run.start_time, run.end_time,
            json_build_object('name', flow.name, 'project', json_build_object('name', project.name)) AS flow,
            json_build_object('aggregate', json_build_object('count', counts.success)) AS success,
            json_build_object('aggregate', json_build_object('count', counts.failed)) AS failed,
            json_build_object('aggregate', json_build_object('count', counts.running)) AS running,
            json_build_object('aggregate', json_build_object('count', counts.pending)) AS pending,
            json_build_object('aggregate', json_build_object('count', counts.scheduled)) AS scheduled
        FROM (
            SELECT * FROM flow_run
            WHERE tenant_id = $1::uuid AND scheduled_start_time < $2::timestamptz
            ORDER BY scheduled_start_time DESC LIMIT $3::int
        ) AS run
        JOIN flow ON flow.id = run.flow_id
        JOIN project ON project.id = flow.project_id
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE state = 'Success') AS success,
                count(*) FILTER (WHERE state = 'Failed') AS failed,
                count(*) FILTER (WHERE state = 'Running') AS running,
                count(*) FILTER (WHERE state = 'Pending') AS pending,
                count(*) FILTER (WHERE state = 'Scheduled') AS scheduled
            FROM task_run WHERE task_run.flow_run_id = run.id
        ) AS counts
        ORDER BY run.scheduled_start_time DESC
    ) AS r
))
