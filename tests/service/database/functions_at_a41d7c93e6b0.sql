-- The functions that first states of task runs are made by, as our releases before migrations/additions/f60c3b8e1d29 made
-- them.

-- Gives a new flow run one task run per task of its flow, each in a first Pending state. The task runs are inserted as
-- those states leave them, so that update_task_run_details_on_state_insert, which the states fire, has nothing to write.
-- Task runs that the flow run has already (by the same statement, or another's trigger) get such a state as well.
CREATE OR REPLACE FUNCTION public.insert_task_runs_after_flow_run_insert() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM task_run WHERE task_run.flow_run_id = NEW.id) THEN
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

    RETURN NEW;
END;
$$;

-- Moves a task run along with a state row that was just inserted, if the row's version is not older than the run's.
-- An older row, or one without a version, only touches the run (its `updated` moves). The condition is part of the
-- UPDATE so that it is judged again after waiting for another writer of the same run.
--
-- A run that was made with the state is not written once more: an UPDATE costs an entry in each of the table's indexes,
-- and nothing would change, as `updated` is the time of the transaction. Only triggers make runs so.
CREATE OR REPLACE FUNCTION public.update_task_run_details_on_state_insert() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() > 1 THEN
        PERFORM FROM task_run AS run
        WHERE run.id = NEW.task_run_id
            AND run.updated IS NOT DISTINCT FROM now()
            AND run.version IS NOT DISTINCT FROM NEW.version
            AND run.state IS NOT DISTINCT FROM NEW.state
            AND run.state_timestamp IS NOT DISTINCT FROM NEW.timestamp
            AND run.state_start_time IS NOT DISTINCT FROM NEW.start_time
            AND run.state_message IS NOT DISTINCT FROM NEW.message
            AND run.state_result::text IS NOT DISTINCT FROM NEW.result::text
            AND run.serialized_state::text IS NOT DISTINCT FROM NEW.serialized_state::text
            AND (NEW.state <> 'Running' OR run.start_time <= NEW.timestamp)
            AND (
                NEW.state NOT IN ('Success', 'Failed', 'Cached', 'TimedOut', 'Looped', 'Cancelled')
                OR run.end_time >= NEW.timestamp
            );
        IF FOUND THEN
            RETURN NEW;
        END IF;
    END IF;

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
