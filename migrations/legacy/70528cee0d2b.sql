-- Agents and their settings. The new column's key is not checked row by row: it is given with the column, which is null.
CREATE TABLE public.agent_config (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    tenant_id uuid NOT NULL,
    name varchar,
    settings jsonb NOT NULL DEFAULT '{}'::jsonb,
    CONSTRAINT agent_config_pkey PRIMARY KEY (id),
    CONSTRAINT agent_config_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenant (id) ON DELETE CASCADE
);
CREATE INDEX ix_agent_config_tenant_id ON public.agent_config (tenant_id);
CREATE TRIGGER update_timestamp BEFORE UPDATE ON public.agent_config
FOR EACH ROW EXECUTE PROCEDURE public.set_updated_timestamp();

CREATE TABLE public.agent (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    tenant_id uuid NOT NULL,
    agent_config_id uuid,
    name varchar,
    type varchar,
    core_version varchar,
    labels jsonb NOT NULL DEFAULT '[]'::jsonb,
    last_queried timestamptz DEFAULT now(),
    CONSTRAINT agent_pkey PRIMARY KEY (id),
    CONSTRAINT agent_agent_config_id_fkey
        FOREIGN KEY (agent_config_id) REFERENCES public.agent_config (id) ON DELETE SET NULL,
    CONSTRAINT agent_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenant (id) ON DELETE CASCADE
);
CREATE INDEX ix_agent_agent_config_id ON public.agent (agent_config_id);
CREATE INDEX ix_agent_tenant_id ON public.agent (tenant_id);
CREATE TRIGGER update_timestamp BEFORE UPDATE ON public.agent
FOR EACH ROW EXECUTE PROCEDURE public.set_updated_timestamp();

ALTER TABLE public.flow_run ADD COLUMN agent_id uuid
CONSTRAINT flow_run_agent_id_fkey REFERENCES public.agent (id) ON DELETE SET NULL;
