"""One row per registered version of a flow."""

from sqlalchemy import BOOLEAN, INTEGER, VARCHAR, Column, Table, text
from sqlalchemy.dialects.postgresql import JSONB

from server_core.models.base import created, identity, metadata, owner, reference, trigram_index, updated

flow = Table(
    "flow",
    metadata,
    identity(),
    owner(),
    created(),
    Column("version", INTEGER, index=True),
    Column("name", VARCHAR, nullable=False),
    Column("description", VARCHAR),
    Column("environment", JSONB),
    Column("parameters", JSONB, server_default=text("'{}'::jsonb")),
    reference("project_id", "project", nullable=False),
    Column("archived", BOOLEAN, nullable=False, server_default=text("false")),
    Column("version_group_id", VARCHAR, index=True),
    Column("storage", JSONB),
    Column("core_version", VARCHAR),
    updated(index=True),
    Column("settings", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("serialized_flow", JSONB),
    Column("schedule", JSONB),
    Column("is_schedule_active", BOOLEAN, nullable=False, server_default=text("false")),
    reference("flow_group_id", "flow_group", nullable=False),
    Column("run_config", JSONB),
    trigram_index("ix_flow_name", "name"),
)
