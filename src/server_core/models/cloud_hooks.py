"""Whom to tell about which states."""

from sqlalchemy import BOOLEAN, VARCHAR, Column, Index, Table, text
from sqlalchemy.dialects.postgresql import JSONB

from server_core.models.base import created, identity, metadata, owner, updated

cloud_hook = Table(
    "cloud_hook",
    metadata,
    identity(),
    owner(),
    created(),
    updated(index=True),
    Column("name", VARCHAR),
    Column("states", JSONB),
    Column("type", VARCHAR, index=True, nullable=False),
    Column("config", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("active", BOOLEAN, nullable=False, server_default=text("true")),
    Column("version_group_id", VARCHAR, index=True),
    Index("ix_cloud_hook_states", "states", postgresql_using="gin"),
)
