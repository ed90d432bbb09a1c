-- Tells those who watch a table that a statement changed it: schema and name as JSON, on channel `live_queries`.
--
-- NOTIFY makes commits wait for each other, so nothing is sent about a table that nobody watches. Who watches it holds a
-- shared advisory lock with the table's oid (the class spells "live"); then it cannot be had exclusively, not even for
-- the moment that it takes to try. Taking and giving back are one expression: nothing can come between them.
CREATE FUNCTION public.notify_live_queries() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    unwatched CONSTANT boolean := CASE
        WHEN pg_try_advisory_lock(1818850917, TG_RELID::int) THEN pg_advisory_unlock(1818850917, TG_RELID::int)
        ELSE false
    END;
BEGIN
    IF NOT unwatched THEN
        PERFORM pg_notify('live_queries', json_build_array(TG_TABLE_SCHEMA, TG_TABLE_NAME)::text);
    END IF;
    RETURN NULL;
END;
$$;
