-- How many runs are deleted.
SELECT count(*) - count(DISTINCT (flow_id, idempotency_key))
FROM public.flow_run
WHERE idempotency_key IS NOT NULL
