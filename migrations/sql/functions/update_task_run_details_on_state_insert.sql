-- Moves a task run along with a state row that was just inserted, if the row's version is not older than the run's.
-- An older row, or one without a version, only touches the run (its `updated` moves). The condition is part of the
-- UPDATE so that it is judged again after waiting for another writer of the same run.
--
-- A run that was made with the state is not written once more: an UPDATE costs an entry in each of the table's indexes,
-- and nothing would change, as `updated` is the time of the transaction. Only triggers make runs so: of those that
-- insert_task_runs_after_flow_run_insert makes, it tells; at others' a look is taken.
CREATE FUNCTION public.update_task_run_details_on_state_insert() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() > 1 THEN
        IF current_setting('prefect_server.first_states', true) = pg_trigger_depth()::text THEN
            RETURN NEW;
        END IF;
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
