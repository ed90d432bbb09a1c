-- What task runs show of their work.
CREATE TABLE public.task_run_artifact (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    tenant_id uuid NOT NULL,
    task_run_id uuid NOT NULL,
    kind varchar NOT NULL,
    data jsonb NOT NULL DEFAULT '{}'::jsonb,
    CONSTRAINT task_run_artifact_pkey PRIMARY KEY (id),
    CONSTRAINT task_run_artifact_task_run_id_fkey
        FOREIGN KEY (task_run_id) REFERENCES public.task_run (id) ON DELETE CASCADE,
    CONSTRAINT task_run_artifact_tenant_id_fkey
        FOREIGN KEY (tenant_id) REFERENCES public.tenant (id) ON DELETE CASCADE
);
CREATE INDEX ix_task_run_artifact_task_run_id ON public.task_run_artifact (task_run_id);
CREATE INDEX ix_task_run_artifact_tenant_id ON public.task_run_artifact (tenant_id);
CREATE TRIGGER update_timestamp BEFORE UPDATE ON public.task_run_artifact
FOR EACH ROW EXECUTE PROCEDURE public.set_updated_timestamp();
