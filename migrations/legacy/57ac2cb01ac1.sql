-- Task runs are found by a part of their name, where the server has pg_trgm.
DO $$
DECLARE
    operators text := (
        SELECT quote_ident(nspname) || '.gin_trgm_ops'
        FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
        WHERE extname = 'pg_trgm'
    );
BEGIN
    IF operators IS NOT NULL THEN
        EXECUTE format(
            'CREATE INDEX ix_task_run_name_trgm ON public.task_run USING gin (name %s) WHERE (name IS NOT NULL)',
            operators
        );
    END IF;
END;
$$;
