"""Whom to tell about which states, and what there is to tell them."""

from sqlalchemy import BOOLEAN, INTEGER, TIMESTAMP, UUID, VARCHAR, Column, ForeignKey, Index, Table, text
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

cloud_hook_delivery = Table(
    "cloud_hook_delivery",
    metadata,
    identity(),
    Column("cloud_hook_id", UUID, ForeignKey("cloud_hook.id", ondelete="CASCADE"), nullable=False),
    Column("tenant_id", UUID, nullable=False),
    Column("flow_run_id", UUID, nullable=False),
    Column("version", INTEGER, nullable=False),
    Column("event", JSONB, nullable=False),
    created(),
    Column("status", VARCHAR, nullable=False, server_default=text("'WAITING'::character varying")),
    Column("attempts", INTEGER, nullable=False, server_default=text("0")),
    Column("next_attempt", TIMESTAMP(timezone=True)),
    Column("answers", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("last_error", VARCHAR),
    Column("finished", TIMESTAMP(timezone=True)),
    Index("ix_cloud_hook_delivery_cloud_hook_id_flow_run_id", "cloud_hook_id", "flow_run_id"),
    Index(
        "ix_cloud_hook_delivery_cloud_hook_id_next_attempt",
        *("cloud_hook_id", "next_attempt", "created"),
        postgresql_where=text("next_attempt IS NOT NULL"),
    ),
    Index("ix_cloud_hook_delivery_next_attempt", "next_attempt", postgresql_where=text("next_attempt IS NOT NULL")),
    Index("ix_cloud_hook_delivery_finished", "finished", postgresql_where=text("finished IS NOT NULL")),
)
"""Events on their way to a hook's receiver; ours, not the legacy server's. The run may be gone: no key for it."""
