-- The functions that runs are written by, as our releases before migrations/additions/a41d7c93e6b0 made them.

-- Gives a new flow run one task run per task of its flow, each in a first Pending state. The insert of those states
-- fires update_task_run_details_on_state_insert, which writes version, state and message onto the task runs.
CREATE OR REPLACE FUNCTION public.insert_task_runs_after_flow_run_insert() RETURNS trigger
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

-- Moves a flow run along with a state row that was just inserted, if the row's version is not older than the run's.
-- An older row, or one without a version, only touches the run (its `updated` moves). The condition is part of the
-- UPDATE so that it is judged again after waiting for another writer of the same run.
CREATE OR REPLACE FUNCTION public.update_flow_run_details_on_state_insert() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE flow_run
    SET
        version = NEW.version,
        state = NEW.state,
        serialized_state = NEW.serialized_state,
        state_start_time = NEW.start_time,
        state_timestamp = NEW.timestamp,
        state_message = NEW.message,
        state_result = NEW.result,
        start_time = CASE
            WHEN NEW.state = 'Running' THEN least(flow_run.start_time, NEW.timestamp)
            ELSE flow_run.start_time
        END,
        end_time = CASE
            WHEN NEW.state IN ('Success', 'Failed', 'Cached', 'TimedOut', 'Looped', 'Cancelled')
                THEN greatest(flow_run.end_time, NEW.timestamp)
            ELSE flow_run.end_time
        END
    WHERE flow_run.id = NEW.flow_run_id
        AND NEW.version >= coalesce(flow_run.version, 0);

    IF NOT FOUND THEN
        UPDATE flow_run SET version = flow_run.version WHERE flow_run.id = NEW.flow_run_id;
    END IF;

    RETURN NEW;
END;
$$;

-- Moves a task run along with a state row that was just inserted, if the row's version is not older than the run's.
-- An older row, or one without a version, only touches the run (its `updated` moves). The condition is part of the
-- UPDATE so that it is judged again after waiting for another writer of the same run.
CREATE OR REPLACE FUNCTION public.update_task_run_details_on_state_insert() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE task_run
    SET
        version = NEW.version,
        state = NEW.state,
        serialized_state = NEW.serialized_state,
        state_start_time = NEW.start_time,
        state_timestamp = NEW.timestamp,
        state_message = NEW.message,
        state_result = NEW.result,
        start_time = CASE
            WHEN NEW.state = 'Running' THEN least(task_run.start_time, NEW.timestamp)
            ELSE task_run.start_time
        END,
        end_time = CASE
            WHEN NEW.state IN ('Success', 'Failed', 'Cached', 'TimedOut', 'Looped', 'Cancelled')
                THEN greatest(task_run.end_time, NEW.timestamp)
            ELSE task_run.end_time
        END
    WHERE task_run.id = NEW.task_run_id
        AND NEW.version >= coalesce(task_run.version, 0);

    IF NOT FOUND THEN
        UPDATE task_run SET version = task_run.version WHERE task_run.id = NEW.task_run_id;
    END IF;

    RETURN NEW;
END;
$$;

