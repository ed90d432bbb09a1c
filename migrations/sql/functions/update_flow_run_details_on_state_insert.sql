-- Moves a flow run along with a state row that was just inserted, if the row's version is not older than the run's.
-- An older row, or one without a version, only touches the run (its `updated` moves). The condition is part of the
-- UPDATE so that it is judged again after waiting for another writer of the same run.
CREATE FUNCTION public.update_flow_run_details_on_state_insert() RETURNS trigger
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
