-- One trigger of the same name on every table that the data API shows.
CREATE TRIGGER notify_live_queries AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.tenant
FOR EACH STATEMENT EXECUTE PROCEDURE public.notify_live_queries();

CREATE TRIGGER notify_live_queries AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.project
FOR EACH STATEMENT EXECUTE PROCEDURE public.notify_live_queries();

CREATE TRIGGER notify_live_queries AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.flow_group
FOR EACH STATEMENT EXECUTE PROCEDURE public.notify_live_queries();

CREATE TRIGGER notify_live_queries AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.flow
FOR EACH STATEMENT EXECUTE PROCEDURE public.notify_live_queries();

CREATE TRIGGER notify_live_queries AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.task
FOR EACH STATEMENT EXECUTE PROCEDURE public.notify_live_queries();

CREATE TRIGGER notify_live_queries AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.edge
FOR EACH STATEMENT EXECUTE PROCEDURE public.notify_live_queries();

CREATE TRIGGER notify_live_queries AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.agent_config
FOR EACH STATEMENT EXECUTE PROCEDURE public.notify_live_queries();

CREATE TRIGGER notify_live_queries AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.agent
FOR EACH STATEMENT EXECUTE PROCEDURE public.notify_live_queries();

CREATE TRIGGER notify_live_queries AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.flow_run
FOR EACH STATEMENT EXECUTE PROCEDURE public.notify_live_queries();

CREATE TRIGGER notify_live_queries AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.flow_run_state
FOR EACH STATEMENT EXECUTE PROCEDURE public.notify_live_queries();

CREATE TRIGGER notify_live_queries AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.task_run
FOR EACH STATEMENT EXECUTE PROCEDURE public.notify_live_queries();

CREATE TRIGGER notify_live_queries AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.task_run_state
FOR EACH STATEMENT EXECUTE PROCEDURE public.notify_live_queries();

CREATE TRIGGER notify_live_queries AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.task_run_artifact
FOR EACH STATEMENT EXECUTE PROCEDURE public.notify_live_queries();

CREATE TRIGGER notify_live_queries AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.log
FOR EACH STATEMENT EXECUTE PROCEDURE public.notify_live_queries();

CREATE TRIGGER notify_live_queries AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.message
FOR EACH STATEMENT EXECUTE PROCEDURE public.notify_live_queries();

CREATE TRIGGER notify_live_queries AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.cloud_hook
FOR EACH STATEMENT EXECUTE PROCEDURE public.notify_live_queries();

CREATE TRIGGER notify_live_queries AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON utility.traversal
FOR EACH STATEMENT EXECUTE PROCEDURE public.notify_live_queries();
