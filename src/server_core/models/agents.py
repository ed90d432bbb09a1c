"""The processes that pick runs up."""

from sqlalchemy import TIMESTAMP, VARCHAR, Column, Table, text
from sqlalchemy.dialects.postgresql import JSONB

from server_core.models.base import created, identity, metadata, owner, reference, updated

agent_config = Table(
    "agent_config",
    metadata,
    identity(),
    created(),
    updated(),
    owner(nullable=False),
    Column("name", VARCHAR),
    Column("settings", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
)

agent = Table(
    "agent",
    metadata,
    identity(),
    created(),
    updated(),
    owner(nullable=False),
    reference("agent_config_id", "agent_config", ondelete="SET NULL"),
    Column("name", VARCHAR),
    Column("type", VARCHAR),
    Column("core_version", VARCHAR),
    Column("labels", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("last_queried", TIMESTAMP(timezone=True), server_default=text("now()")),
)
