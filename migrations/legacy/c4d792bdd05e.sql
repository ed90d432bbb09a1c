-- Runs get an idempotency key.
ALTER TABLE public.flow_run ADD COLUMN idempotency_key varchar;
CREATE INDEX ix_flow_run_idempotency_key ON public.flow_run (idempotency_key);
