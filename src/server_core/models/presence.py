"""Since when clients can reach a service; a table of our own."""

from sqlalchemy import TIMESTAMP, VARCHAR, Column, Table

from server_core.models.base import metadata

service_presence = Table(
    "service_presence",
    metadata,
    Column("service", VARCHAR, primary_key=True),
    Column("since", TIMESTAMP(timezone=True), nullable=False),
    Column("seen", TIMESTAMP(timezone=True), nullable=False),
)
