-- Messages to a tenant.
CREATE TABLE public.message (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    tenant_id uuid NOT NULL,
    read boolean NOT NULL DEFAULT false,
    type varchar,
    text varchar,
    content jsonb NOT NULL DEFAULT '{}'::jsonb,
    CONSTRAINT message_pkey PRIMARY KEY (id),
    CONSTRAINT message_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenant (id) ON DELETE CASCADE
);
CREATE INDEX ix_message_tenant_id ON public.message (tenant_id);
CREATE TRIGGER update_timestamp BEFORE UPDATE ON public.message
FOR EACH ROW EXECUTE PROCEDURE public.set_updated_timestamp();
