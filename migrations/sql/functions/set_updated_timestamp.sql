-- Stamps a row that is about to be updated with the transaction's time, whatever the statement set.
CREATE FUNCTION public.set_updated_timestamp() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated := now();
    RETURN NEW;
END;
$$;
