"""Folders of flows."""

from sqlalchemy import VARCHAR, Column, Table, UniqueConstraint

from server_core.models.base import created, identity, metadata, owner, trigram_index, updated

project = Table(
    "project",
    metadata,
    identity(),
    owner(),
    created(),
    Column("name", VARCHAR, nullable=False),
    Column("description", VARCHAR),
    updated(index=True),
    UniqueConstraint("tenant_id", "name", name="project_tenant_id_name_key"),
    trigram_index("ix_project_name", "name"),
)
