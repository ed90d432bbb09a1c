-- Gives a new flow run one task run per task of its flow, each in a first Pending state. The insert of those states
-- fires update_task_run_details_on_state_insert, which writes version, state and message onto the task runs.
CREATE FUNCTION public.insert_task_runs_after_flow_run_insert() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO task_run (tenant_id, flow_run_id, task_id, cache_key, map_index)
    SELECT NEW.tenant_id, NEW.id, task.id, task.cache_key, -1
    FROM task
    WHERE task.flow_id = NEW.flow_id;

    INSERT INTO task_run_state (tenant_id, task_run_id, state, message, serialized_state)
    SELECT
        NEW.tenant_id,
        task_run.id,
        'Pending',
        'Task run created',
        '{"type": "Pending", "message": "Task run created"}'
    FROM task_run
    WHERE task_run.flow_run_id = NEW.id;

    RETURN NEW;
END;
$$;
