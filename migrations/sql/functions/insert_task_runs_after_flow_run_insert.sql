-- Gives a new flow run one task run per task of its flow, each in a first Pending state. The task runs are inserted as
-- those states leave them, so that update_task_run_details_on_state_insert, which the states fire, has nothing to write.
-- It is told so by a setting of the transaction, instead of looking at every run: how deep the triggers are that these
-- very rows fire. Those of other rows, which somebody's triggers insert meanwhile, are deeper.
--
-- Task runs that the flow run has already (by the same statement, or another's trigger) get such a state as well. There
-- hardly ever are any: asked for is the next one in the order of an index, which costs the same whatever the statistics
-- say. EXISTS would read the whole table where these show few flow runs with many task runs each.
CREATE FUNCTION public.insert_task_runs_after_flow_run_insert() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    told text;
BEGIN
    IF (SELECT flow_run_id FROM task_run WHERE flow_run_id >= NEW.id ORDER BY flow_run_id LIMIT 1) = NEW.id THEN
        INSERT INTO task_run_state (tenant_id, task_run_id, state, message, serialized_state)
        SELECT
            NEW.tenant_id,
            task_run.id,
            'Pending',
            'Task run created',
            '{"type": "Pending", "message": "Task run created"}'
        FROM task_run
        WHERE task_run.flow_run_id = NEW.id;
    END IF;

    told := set_config('prefect_server.first_states', (pg_trigger_depth() + 1)::text, true);
    WITH made AS (
        INSERT INTO task_run (
            tenant_id, flow_run_id, task_id, cache_key, map_index,
            version, state, state_timestamp, state_message, serialized_state
        )
        SELECT
            NEW.tenant_id,
            NEW.id,
            task.id,
            task.cache_key,
            -1,
            1,
            'Pending',
            clock_timestamp(),
            'Task run created',
            '{"type": "Pending", "message": "Task run created"}'
        FROM task
        WHERE task.flow_id = NEW.flow_id
        RETURNING id, version, state, state_timestamp, state_message, serialized_state
    )
    INSERT INTO task_run_state (tenant_id, task_run_id, version, state, "timestamp", message, serialized_state)
    SELECT NEW.tenant_id, id, version, state, state_timestamp, state_message, serialized_state
    FROM made;
    told := set_config('prefect_server.first_states', '', true);

    RETURN NEW;
END;
$$;
