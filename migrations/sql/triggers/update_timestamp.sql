-- One trigger of the same name on every table that has an `updated` column.
CREATE TRIGGER update_timestamp BEFORE UPDATE ON public.tenant
FOR EACH ROW EXECUTE PROCEDURE public.set_updated_timestamp();

CREATE TRIGGER update_timestamp BEFORE UPDATE ON public.project
FOR EACH ROW EXECUTE PROCEDURE public.set_updated_timestamp();

CREATE TRIGGER update_timestamp BEFORE UPDATE ON public.flow_group
FOR EACH ROW EXECUTE PROCEDURE public.set_updated_timestamp();

CREATE TRIGGER update_timestamp BEFORE UPDATE ON public.flow
FOR EACH ROW EXECUTE PROCEDURE public.set_updated_timestamp();

CREATE TRIGGER update_timestamp BEFORE UPDATE ON public.task
FOR EACH ROW EXECUTE PROCEDURE public.set_updated_timestamp();

CREATE TRIGGER update_timestamp BEFORE UPDATE ON public.edge
FOR EACH ROW EXECUTE PROCEDURE public.set_updated_timestamp();

CREATE TRIGGER update_timestamp BEFORE UPDATE ON public.agent_config
FOR EACH ROW EXECUTE PROCEDURE public.set_updated_timestamp();

CREATE TRIGGER update_timestamp BEFORE UPDATE ON public.agent
FOR EACH ROW EXECUTE PROCEDURE public.set_updated_timestamp();

CREATE TRIGGER update_timestamp BEFORE UPDATE ON public.flow_run
FOR EACH ROW EXECUTE PROCEDURE public.set_updated_timestamp();

CREATE TRIGGER update_timestamp BEFORE UPDATE ON public.flow_run_state
FOR EACH ROW EXECUTE PROCEDURE public.set_updated_timestamp();

CREATE TRIGGER update_timestamp BEFORE UPDATE ON public.task_run
FOR EACH ROW EXECUTE PROCEDURE public.set_updated_timestamp();

CREATE TRIGGER update_timestamp BEFORE UPDATE ON public.task_run_state
FOR EACH ROW EXECUTE PROCEDURE public.set_updated_timestamp();

CREATE TRIGGER update_timestamp BEFORE UPDATE ON public.task_run_artifact
FOR EACH ROW EXECUTE PROCEDURE public.set_updated_timestamp();

CREATE TRIGGER update_timestamp BEFORE UPDATE ON public.log
FOR EACH ROW EXECUTE PROCEDURE public.set_updated_timestamp();

CREATE TRIGGER update_timestamp BEFORE UPDATE ON public.message
FOR EACH ROW EXECUTE PROCEDURE public.set_updated_timestamp();

CREATE TRIGGER update_timestamp BEFORE UPDATE ON public.cloud_hook
FOR EACH ROW EXECUTE PROCEDURE public.set_updated_timestamp();
