-- Moves a task run along with a state row that was just inserted, if the row's version is not older than the run's.
-- An older row, or one without a version, only touches the run (its `updated` moves). The condition is part of the
-- UPDATE so that it is judged again after waiting for another writer of the same run.
CREATE FUNCTION public.update_task_run_details_on_state_insert() RETURNS trigger
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
