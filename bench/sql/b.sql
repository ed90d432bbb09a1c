SELECT coalesce(json_agg(r), '[]') FROM (
        SELECT run.id, run.name, run.state, run.start_time, run.end_time,
            (SELECT row_to_json(x) FROM (SELECT flow.name, (SELECT row_to_json(y) FROM (SELECT project.name FROM project WHERE project.id = flow.project_id) y) AS project FROM flow WHERE flow.id = run.flow_id) x) AS flow,
            ('{"aggregate": {"count": ' || counts.success || '}}')::json AS success,
            ('{"aggregate": {"count": ' || counts.failed || '}}')::json AS failed,
            ('{"aggregate": {"count": ' || counts.running || '}}')::json AS running,
            ('{"aggregate": {"count": ' || counts.pending || '}}')::json AS pending,
            ('{"aggregate": {"count": ' || counts.scheduled || '}}')::json AS scheduled
        FROM (
            SELECT * FROM (
                SELECT * FROM flow_run
                WHERE tenant_id = $1::uuid AND scheduled_start_time < $2::timestamptz
                ORDER BY scheduled_start_time DESC LIMIT 64
            ) AS newest
            LIMIT $3::int
        ) AS run
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE state = 'Success') AS success,
                count(*) FILTER (WHERE state = 'Failed') AS failed,
                count(*) FILTER (WHERE state = 'Running') AS running,
                count(*) FILTER (WHERE state = 'Pending') AS pending,
                count(*) FILTER (WHERE state = 'Scheduled') AS scheduled
            FROM task_run WHERE task_run.flow_run_id = run.id
        ) AS counts
    ) AS r
