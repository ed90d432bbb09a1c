-- Tables, keys and plain indexes of the schema at revision ac5747fb571c (contract: schema.md, section 4).
-- Read once by ac5747fb571c_baseline.py; frozen: later revisions change the schema, not this file.
-- The irregular constraint names are old; upserts and later revisions depend on them.

CREATE TABLE tenant (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    created timestamptz NOT NULL DEFAULT now(),
    name varchar(255) NOT NULL,
    slug varchar(255) NOT NULL,
    info jsonb,
    settings jsonb NOT NULL DEFAULT '{}',
    updated timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenant_pkey PRIMARY KEY (id),
    CONSTRAINT tenant_slug_key UNIQUE (slug)
);

CREATE TABLE project (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id uuid,
    created timestamptz NOT NULL DEFAULT now(),
    name varchar NOT NULL,
    description varchar,
    updated timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT project_pkey PRIMARY KEY (id),
    CONSTRAINT project_tenant_id_name_key UNIQUE (tenant_id, name),
    CONSTRAINT project_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id) ON DELETE CASCADE
);
CREATE INDEX ix_project_tenant_id ON project (tenant_id);
CREATE INDEX ix_project_updated ON project (updated);

CREATE TABLE flow_group (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id uuid,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    name varchar,
    labels jsonb,
    schedule jsonb,
    settings jsonb NOT NULL DEFAULT '{}',
    default_parameters jsonb NOT NULL DEFAULT '{}',
    run_config jsonb,
    description varchar,
    CONSTRAINT flow_group_pkey PRIMARY KEY (id),
    CONSTRAINT flow_group_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id) ON DELETE CASCADE
);
CREATE INDEX ix_flow_group_tenant_id ON flow_group (tenant_id);

CREATE TABLE flow (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id uuid,
    created timestamptz NOT NULL DEFAULT now(),
    version integer,
    name varchar NOT NULL,
    description varchar,
    environment jsonb,
    parameters jsonb DEFAULT '{}',
    project_id uuid NOT NULL,
    archived boolean NOT NULL DEFAULT false,
    version_group_id varchar,
    storage jsonb,
    core_version varchar,
    updated timestamptz NOT NULL DEFAULT now(),
    settings jsonb NOT NULL DEFAULT '{}',
    serialized_flow jsonb,
    schedule jsonb,
    is_schedule_active boolean NOT NULL DEFAULT false,
    flow_group_id uuid NOT NULL,
    run_config jsonb,
    CONSTRAINT flow_pkey PRIMARY KEY (id),
    CONSTRAINT flow_flow_group_id_fkey FOREIGN KEY (flow_group_id) REFERENCES flow_group(id) ON DELETE CASCADE,
    CONSTRAINT flow_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id) ON DELETE CASCADE,
    CONSTRAINT flow_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id) ON DELETE CASCADE
);
CREATE INDEX ix_flow_flow_group_id ON flow (flow_group_id);
CREATE INDEX ix_flow_project_id ON flow (project_id);
CREATE INDEX ix_flow_tenant_id ON flow (tenant_id);
CREATE INDEX ix_flow_updated ON flow (updated);
CREATE INDEX ix_flow_version ON flow (version);
CREATE INDEX ix_flow_version_group_id ON flow (version_group_id);

CREATE TABLE task (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id uuid,
    created timestamptz NOT NULL DEFAULT now(),
    flow_id uuid NOT NULL,
    name varchar,
    slug varchar,
    description varchar,
    type varchar,
    max_retries integer,
    retry_delay interval,
    trigger varchar,
    mapped boolean NOT NULL DEFAULT false,
    auto_generated boolean NOT NULL DEFAULT false,
    cache_key varchar,
    is_root_task boolean NOT NULL DEFAULT false,
    is_terminal_task boolean NOT NULL DEFAULT false,
    is_reference_task boolean NOT NULL DEFAULT false,
    tags jsonb NOT NULL DEFAULT '[]',
    updated timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT task_pkey PRIMARY KEY (id),
    CONSTRAINT task_flow_id_slug_key UNIQUE (flow_id, slug),
    CONSTRAINT fk_task_flow_id FOREIGN KEY (flow_id) REFERENCES flow(id) ON DELETE CASCADE,
    CONSTRAINT task_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id) ON DELETE CASCADE
);
CREATE INDEX ix_task_flow_id ON task (flow_id);
CREATE INDEX ix_task_tags ON task USING gin (tags);
CREATE INDEX ix_task_tenant_id ON task (tenant_id);
CREATE INDEX ix_task_updated ON task (updated);

CREATE TABLE edge (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id uuid,
    created timestamptz NOT NULL DEFAULT now(),
    flow_id uuid NOT NULL,
    upstream_task_id uuid NOT NULL,
    downstream_task_id uuid NOT NULL,
    key varchar,
    mapped boolean NOT NULL DEFAULT false,
    updated timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT edge_pkey PRIMARY KEY (id),
    CONSTRAINT edge_flow_id_task_ids_key UNIQUE (flow_id, downstream_task_id, upstream_task_id),
    CONSTRAINT edge_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id) ON DELETE CASCADE,
    CONSTRAINT fk_edge_downstream_task_id FOREIGN KEY (downstream_task_id) REFERENCES task(id) ON DELETE CASCADE,
    CONSTRAINT fk_edge_flow_id FOREIGN KEY (flow_id) REFERENCES flow(id) ON DELETE CASCADE,
    CONSTRAINT fk_edge_upstream_task_id FOREIGN KEY (upstream_task_id) REFERENCES task(id) ON DELETE CASCADE
);
CREATE INDEX ix_edge_downstream_task_id ON edge (downstream_task_id);
CREATE INDEX ix_edge_flow_id ON edge (flow_id);
CREATE INDEX ix_edge_tenant_id ON edge (tenant_id);
CREATE INDEX ix_edge_updated ON edge (updated);
CREATE INDEX ix_edge_upstream_task_id ON edge (upstream_task_id);

CREATE TABLE agent_config (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    tenant_id uuid NOT NULL,
    name varchar,
    settings jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT agent_config_pkey PRIMARY KEY (id),
    CONSTRAINT agent_config_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id) ON DELETE CASCADE
);
CREATE INDEX ix_agent_config_tenant_id ON agent_config (tenant_id);

CREATE TABLE agent (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    tenant_id uuid NOT NULL,
    agent_config_id uuid,
    name varchar,
    type varchar,
    core_version varchar,
    labels jsonb NOT NULL DEFAULT '[]',
    last_queried timestamptz DEFAULT now(),
    CONSTRAINT agent_pkey PRIMARY KEY (id),
    CONSTRAINT agent_agent_config_id_fkey FOREIGN KEY (agent_config_id) REFERENCES agent_config(id) ON DELETE SET NULL,
    CONSTRAINT agent_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id) ON DELETE CASCADE
);
CREATE INDEX ix_agent_agent_config_id ON agent (agent_config_id);
CREATE INDEX ix_agent_tenant_id ON agent (tenant_id);

CREATE TABLE flow_run (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id uuid,
    created timestamptz NOT NULL DEFAULT now(),
    flow_id uuid NOT NULL,
    parameters jsonb DEFAULT '{}',
    scheduled_start_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    auto_scheduled boolean NOT NULL DEFAULT false,
    heartbeat timestamptz,
    start_time timestamptz,
    end_time timestamptz,
    version integer NOT NULL DEFAULT 0,
    state varchar,
    state_timestamp timestamptz,
    state_message varchar,
    state_result jsonb,
    state_start_time timestamptz,
    serialized_state jsonb,
    name varchar,
    context jsonb,
    times_resurrected integer DEFAULT 0,
    updated timestamptz NOT NULL DEFAULT now(),
    idempotency_key varchar,
    agent_id uuid,
    labels jsonb NOT NULL DEFAULT '[]',
    run_config jsonb,
    CONSTRAINT flow_run_pkey PRIMARY KEY (id),
    CONSTRAINT ix_flow_run_idempotency_key_unique UNIQUE (idempotency_key, flow_id),
    CONSTRAINT fk_flow_run_flow_id FOREIGN KEY (flow_id) REFERENCES flow(id) ON DELETE CASCADE,
    CONSTRAINT flow_run_agent_id_fkey FOREIGN KEY (agent_id) REFERENCES agent(id) ON DELETE SET NULL,
    CONSTRAINT flow_run_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id) ON DELETE CASCADE
);
CREATE INDEX ix_flow_run_agent_id ON flow_run (agent_id);
CREATE INDEX ix_flow_run_flow_id ON flow_run (flow_id);
CREATE INDEX ix_flow_run_flow_id_scheduled_start_time_for_hasura ON flow_run (flow_id, scheduled_start_time DESC);
CREATE INDEX ix_flow_run_heartbeat ON flow_run (heartbeat);
CREATE INDEX ix_flow_run_scheduled_start_time ON flow_run (scheduled_start_time);
CREATE INDEX ix_flow_run_start_time ON flow_run (start_time);
CREATE INDEX ix_flow_run_state ON flow_run (state);
CREATE INDEX ix_flow_run_tenant_id ON flow_run (tenant_id);
CREATE INDEX ix_flow_run_updated ON flow_run (updated);

CREATE TABLE flow_run_state (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id uuid,
    flow_run_id uuid NOT NULL,
    "timestamp" timestamptz NOT NULL DEFAULT clock_timestamp(),
    state varchar NOT NULL,
    message varchar,
    result jsonb,
    start_time timestamptz,
    serialized_state jsonb NOT NULL,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    version integer DEFAULT 1,
    CONSTRAINT flow_run_state_pkey PRIMARY KEY (id),
    CONSTRAINT flow_run_state_flow_run_id_fkey FOREIGN KEY (flow_run_id) REFERENCES flow_run(id) ON DELETE CASCADE,
    CONSTRAINT flow_run_state_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id) ON DELETE CASCADE
);
CREATE INDEX ix_flow_run_state_flow_run_id ON flow_run_state (flow_run_id);
CREATE INDEX ix_flow_run_state_state ON flow_run_state (state);
CREATE INDEX ix_flow_run_state_tenant_id ON flow_run_state (tenant_id);
CREATE INDEX ix_flow_run_state_timestamp ON flow_run_state ("timestamp");
CREATE INDEX ix_flow_run_state_updated ON flow_run_state (updated);

CREATE TABLE task_run (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id uuid,
    created timestamptz NOT NULL DEFAULT now(),
    flow_run_id uuid NOT NULL,
    task_id uuid NOT NULL,
    map_index integer NOT NULL DEFAULT -1,
    version integer NOT NULL DEFAULT 0,
    heartbeat timestamptz,
    start_time timestamptz,
    end_time timestamptz,
    state varchar,
    state_timestamp timestamptz,
    state_message varchar,
    state_result jsonb,
    state_start_time timestamptz,
    serialized_state jsonb,
    cache_key varchar,
    updated timestamptz NOT NULL DEFAULT now(),
    name varchar,
    CONSTRAINT task_run_pkey PRIMARY KEY (id),
    CONSTRAINT task_run_unique_identifier_key UNIQUE (flow_run_id, task_id, map_index),
    CONSTRAINT fk_task_run_flow_run_id FOREIGN KEY (flow_run_id) REFERENCES flow_run(id) ON DELETE CASCADE,
    CONSTRAINT fk_task_run_task_id FOREIGN KEY (task_id) REFERENCES task(id) ON DELETE CASCADE,
    CONSTRAINT task_run_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id) ON DELETE CASCADE
);
CREATE INDEX ix_task_run_cache_key ON task_run (cache_key);
CREATE INDEX ix_task_run_flow_run_id ON task_run (flow_run_id);
CREATE INDEX ix_task_run_heartbeat ON task_run (heartbeat);
CREATE INDEX ix_task_run_state ON task_run (state);
CREATE INDEX ix_task_run_task_id ON task_run (task_id);
CREATE INDEX ix_task_run_tenant_id ON task_run (tenant_id);
CREATE INDEX ix_task_run_updated ON task_run (updated);

CREATE TABLE task_run_state (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id uuid,
    task_run_id uuid NOT NULL,
    "timestamp" timestamptz NOT NULL DEFAULT clock_timestamp(),
    state varchar NOT NULL,
    message varchar,
    result jsonb,
    start_time timestamptz,
    serialized_state jsonb NOT NULL,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    version integer DEFAULT 1,
    CONSTRAINT task_run_state_pkey PRIMARY KEY (id),
    CONSTRAINT task_run_state_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id) ON DELETE CASCADE,
    CONSTRAINT task_run_state_tmp_table_task_run_id_fkey FOREIGN KEY (task_run_id) REFERENCES task_run(id) ON DELETE CASCADE
);
CREATE INDEX ix_task_run_state_state ON task_run_state (state);
CREATE INDEX ix_task_run_state_task_run_id ON task_run_state (task_run_id);
CREATE INDEX ix_task_run_state_tenant_id ON task_run_state (tenant_id);
CREATE INDEX ix_task_run_state_timestamp ON task_run_state ("timestamp");
CREATE INDEX ix_task_run_state_updated ON task_run_state (updated);

CREATE TABLE task_run_artifact (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    tenant_id uuid NOT NULL,
    task_run_id uuid NOT NULL,
    kind varchar NOT NULL,
    data jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT task_run_artifact_pkey PRIMARY KEY (id),
    CONSTRAINT task_run_artifact_task_run_id_fkey FOREIGN KEY (task_run_id) REFERENCES task_run(id) ON DELETE CASCADE,
    CONSTRAINT task_run_artifact_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id) ON DELETE CASCADE
);
CREATE INDEX ix_task_run_artifact_task_run_id ON task_run_artifact (task_run_id);
CREATE INDEX ix_task_run_artifact_tenant_id ON task_run_artifact (tenant_id);

CREATE TABLE log (
    flow_run_id uuid,
    tenant_id uuid,
    task_run_id uuid,
    "timestamp" timestamptz NOT NULL DEFAULT now(),
    name varchar,
    level varchar,
    message varchar,
    info jsonb,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    is_loaded_from_archive boolean,
    CONSTRAINT log_flow_run_id_fkey FOREIGN KEY (flow_run_id) REFERENCES flow_run(id) ON DELETE CASCADE,
    CONSTRAINT log_task_run_id_fkey FOREIGN KEY (task_run_id) REFERENCES task_run(id) ON DELETE CASCADE,
    CONSTRAINT log_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id) ON DELETE CASCADE
);
CREATE INDEX ix_log_flow_run_id ON log (flow_run_id);
CREATE INDEX ix_log_task_run_id ON log (task_run_id);
CREATE INDEX ix_log_tenant_id ON log (tenant_id);
CREATE INDEX ix_log_updated ON log (updated);

CREATE TABLE message (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    tenant_id uuid NOT NULL,
    read boolean NOT NULL DEFAULT false,
    type varchar,
    text varchar,
    content jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT message_pkey PRIMARY KEY (id),
    CONSTRAINT message_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id) ON DELETE CASCADE
);
CREATE INDEX ix_message_tenant_id ON message (tenant_id);

CREATE TABLE cloud_hook (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id uuid,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    name varchar,
    states jsonb,
    type varchar NOT NULL,
    config jsonb NOT NULL DEFAULT '{}',
    active boolean NOT NULL DEFAULT true,
    version_group_id varchar,
    CONSTRAINT cloud_hook_pkey PRIMARY KEY (id),
    CONSTRAINT cloud_hook_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id) ON DELETE CASCADE
);
CREATE INDEX ix_cloud_hook_states ON cloud_hook USING gin (states);
CREATE INDEX ix_cloud_hook_tenant_id ON cloud_hook (tenant_id);
CREATE INDEX ix_cloud_hook_type ON cloud_hook (type);
CREATE INDEX ix_cloud_hook_updated ON cloud_hook (updated);
CREATE INDEX ix_cloud_hook_version_group_id ON cloud_hook (version_group_id);

-- Always empty: it gives the functions downstream_tasks and upstream_tasks their row type.
CREATE TABLE utility.traversal (
    tenant_id uuid,
    task_id uuid,
    depth integer
);
