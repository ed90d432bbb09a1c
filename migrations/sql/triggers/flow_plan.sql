-- Whatever decides about the runs of a flow has it planned anew. Before the row is written rather than after, so that the
-- data API need not suspect that the row was changed after its statement and read it again.
CREATE TRIGGER plan_flow_anew_insert BEFORE INSERT ON public.flow
FOR EACH ROW WHEN (NEW.is_schedule_active AND NOT NEW.archived)
EXECUTE PROCEDURE public.plan_flow_anew();

CREATE TRIGGER plan_flow_anew_update
BEFORE UPDATE OF is_schedule_active, archived, schedule, flow_group_id, parameters, run_config, environment
ON public.flow
FOR EACH ROW WHEN (NEW.is_schedule_active AND NOT NEW.archived)
EXECUTE PROCEDURE public.plan_flow_anew();

CREATE TRIGGER plan_flow_anew_update
BEFORE UPDATE OF schedule, default_parameters, run_config, labels ON public.flow_group
FOR EACH ROW WHEN (
    OLD.schedule IS DISTINCT FROM NEW.schedule
    OR OLD.default_parameters IS DISTINCT FROM NEW.default_parameters
    OR OLD.run_config IS DISTINCT FROM NEW.run_config
    OR OLD.labels IS DISTINCT FROM NEW.labels
)
EXECUTE PROCEDURE public.plan_flow_anew();

-- Only what is still to come is planned again: deleting the runs of the past costs nothing.
CREATE TRIGGER plan_flow_anew_delete AFTER DELETE ON public.flow_run
FOR EACH ROW WHEN (OLD.auto_scheduled AND (OLD.state = 'Scheduled' OR OLD.scheduled_start_time > now()))
EXECUTE PROCEDURE public.plan_flow_anew();

CREATE TRIGGER forget_flow_plan AFTER DELETE ON public.flow
FOR EACH ROW EXECUTE PROCEDURE public.forget_flow_plan();
