CREATE TRIGGER update_task_run_details_on_state_insert
AFTER INSERT ON public.task_run_state
FOR EACH ROW EXECUTE PROCEDURE public.update_task_run_details_on_state_insert();
