CREATE TRIGGER update_flow_run_details_on_state_insert
AFTER INSERT ON public.flow_run_state
FOR EACH ROW EXECUTE PROCEDURE public.update_flow_run_details_on_state_insert();
