-- A key names one run of a flow: of runs that share one, the physically first stays. Runs without a key are left alone.
DELETE FROM public.flow_run
USING (
    SELECT id, row_number() OVER (PARTITION BY flow_id, idempotency_key ORDER BY ctid) AS place
    FROM public.flow_run
    WHERE idempotency_key IS NOT NULL
) AS run
WHERE flow_run.id = run.id AND run.place > 1;
DROP INDEX public.ix_flow_run_idempotency_key;
ALTER TABLE public.flow_run
ADD CONSTRAINT ix_flow_run_idempotency_key_unique UNIQUE (idempotency_key, flow_id);
