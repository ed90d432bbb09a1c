"""Notices to users."""

from sqlalchemy import BOOLEAN, VARCHAR, Column, Table, text
from sqlalchemy.dialects.postgresql import JSONB

from server_core.models.base import created, identity, metadata, owner, updated

message = Table(
    "message",
    metadata,
    identity(),
    created(),
    updated(),
    owner(nullable=False),
    Column("read", BOOLEAN, nullable=False, server_default=text("false")),
    Column("type", VARCHAR),
    Column("text", VARCHAR),
    Column("content", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
)
