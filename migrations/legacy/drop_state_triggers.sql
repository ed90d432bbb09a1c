-- Drops the triggers by which an older release kept runs up to date with their states, and their functions.
-- How they were called is not known for every release. They are after-insert triggers whose function, in `public`,
-- writes the run: those per statement and those of the last name; else the only one there is. What somebody else has
-- hung on the tables stays.
DO $$
DECLARE
    old record;
BEGIN
    FOR old IN
        WITH candidate AS (
            SELECT tgname, tgrelid, tgfoid, tgtype & 1 = 0 OR tgname = 'update_' || run || '_details_on_state_insert' AS sure
            FROM (VALUES ('flow_run'), ('task_run')) AS kind (run)
            JOIN pg_trigger ON tgrelid = ('public.' || run || '_state')::regclass
            JOIN pg_proc ON pg_proc.oid = tgfoid
            WHERE NOT tgisinternal AND tgtype & 66 = 0 AND tgtype & 4 = 4
                AND pronamespace = 'public'::regnamespace
                AND prosrc ~* ('\mupdate\s+(only\s+)?("?public"?\.)?"?' || run || '\M')
        )
        SELECT tgname, tgrelid::regclass AS relation, tgfoid
        FROM candidate
        WHERE sure OR NOT EXISTS (SELECT FROM candidate AS other WHERE other.tgrelid = candidate.tgrelid AND other.sure)
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', old.tgname, old.relation);
        IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgfoid = old.tgfoid) THEN
            EXECUTE format('DROP FUNCTION %s', old.tgfoid::regprocedure);
        END IF;
    END LOOP;
END;
$$;
