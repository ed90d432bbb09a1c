CREATE TRIGGER insert_task_runs_after_flow_run_insert
AFTER INSERT ON public.flow_run
FOR EACH ROW EXECUTE PROCEDURE public.insert_task_runs_after_flow_run_insert();
