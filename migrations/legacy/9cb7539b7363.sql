-- Runs are found by their agent.
CREATE INDEX ix_flow_run_agent_id ON public.flow_run (agent_id);
