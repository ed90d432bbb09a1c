"""The owner of everything: one row per team."""

from sqlalchemy import VARCHAR, Column, Table, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB

from server_core.models.base import created, identity, metadata, updated

tenant = Table(
    "tenant",
    metadata,
    identity(),
    created(),
    Column("name", VARCHAR(255), nullable=False),
    Column("slug", VARCHAR(255), nullable=False),
    Column("info", JSONB),
    Column("settings", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    updated(),
    UniqueConstraint("slug", name="tenant_slug_key"),
)
