SELECT row_to_json(r) FROM (
    SELECT run.id, run.name, run.state, run.version, run.start_time, run.end_time, run.scheduled_start_time,
        run.state_message, run.auto_scheduled, run.parameters, json_build_object('name', flow.name) AS flow
    FROM flow_run AS run JOIN flow ON flow.id = run.flow_id
    WHERE run.id = $1::uuid
) AS r
