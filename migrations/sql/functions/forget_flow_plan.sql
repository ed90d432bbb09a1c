-- Takes the plan of a deleted flow away. What the scheduler has locked right now it takes away itself.
CREATE FUNCTION public.forget_flow_plan() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    DELETE FROM flow_plan
    WHERE id IN (SELECT id FROM flow_plan WHERE flow_id = OLD.id FOR UPDATE SKIP LOCKED);
    RETURN NULL;
END;
$$;
