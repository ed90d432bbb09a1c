"""The row type of the functions that walk a flow; always empty."""

from sqlalchemy import INTEGER, UUID, Column, Table

from server_core.models.base import metadata

traversal = Table(
    "traversal",
    metadata,
    Column("tenant_id", UUID),
    Column("task_id", UUID),
    Column("depth", INTEGER),
    schema="utility",
)
