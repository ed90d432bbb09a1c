-- Tells those who watch a table that a statement changed it: schema and name as JSON, on channel `live_queries`.
--
-- NOTIFY serialises commits, so nothing is sent while nobody listens. A listener holds the advisory lock (the key spells
-- "live_qry") exclusively, or waits for it; either makes the attempt below fail. A writer for whom it succeeds need not
-- tell anybody, and keeps its share until its changes are visible: the listener that gets the lock after it sees them.
CREATE FUNCTION public.notify_live_queries() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock_shared(7811905206415880825) THEN
        PERFORM pg_notify('live_queries', json_build_array(TG_TABLE_SCHEMA, TG_TABLE_NAME)::text);
    END IF;
    RETURN NULL;
END;
$$;
