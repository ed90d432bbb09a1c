-- Notes in flow_plan that a flow must be planned at the scheduler's next pass, whoever changed it: our verbs, the data
-- API, the legacy server. It only inserts rows, and without a foreign key, so nobody ever waits for another here.
-- A role that may change flows need not know our table: hence SECURITY DEFINER.
CREATE FUNCTION public.plan_flow_anew() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_TABLE_NAME = 'flow' THEN
        INSERT INTO flow_plan (flow_id) VALUES (NEW.id);
    ELSIF TG_TABLE_NAME = 'flow_group' THEN
        INSERT INTO flow_plan (flow_id)
        SELECT flow.id FROM flow
        WHERE flow.flow_group_id = NEW.id AND flow.is_schedule_active AND NOT flow.archived;
    ELSE
        -- not when the flow itself is being deleted, which takes its runs along
        INSERT INTO flow_plan (flow_id)
        SELECT flow.id FROM flow
        WHERE flow.id = OLD.flow_id AND flow.is_schedule_active AND NOT flow.archived;
    END IF;
    RETURN NEW;
END;
$$;
