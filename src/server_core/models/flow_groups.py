"""What all versions of a flow share: labels, schedule, defaults."""

from sqlalchemy import VARCHAR, Column, Index, Table, text
from sqlalchemy.dialects.postgresql import JSONB

from server_core.models.base import created, identity, metadata, owner, updated

flow_group = Table(
    "flow_group",
    metadata,
    identity(),
    owner(),
    created(),
    updated(),
    Column("name", VARCHAR),
    Column("labels", JSONB),
    Column("schedule", JSONB),
    Column("settings", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("default_parameters", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("run_config", JSONB),
    Column("description", VARCHAR),
    Index(
        "ix_flow_group_late_policy",
        "id",
        postgresql_where=text("settings ->> 'late_policy' IN ('latest_only', 'skip_after')"),
    ),
)
