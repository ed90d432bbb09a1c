"""What is being deleted in batches; a table of our own, which the data API does not show."""

from sqlalchemy import TIMESTAMP, UUID, VARCHAR, Column, Table, text

from server_core.models.base import metadata

pending_removal = Table(
    "pending_removal",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("kind", VARCHAR, nullable=False),
    Column("requested", TIMESTAMP(timezone=True), nullable=False, server_default=text("now()")),
)
