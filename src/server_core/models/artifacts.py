"""What a task run published for people to see."""

from sqlalchemy import VARCHAR, Column, Table, text
from sqlalchemy.dialects.postgresql import JSONB

from server_core.models.base import created, identity, metadata, owner, reference, updated

task_run_artifact = Table(
    "task_run_artifact",
    metadata,
    identity(),
    created(),
    updated(),
    owner(nullable=False),
    reference("task_run_id", "task_run", nullable=False),
    Column("kind", VARCHAR, nullable=False),
    Column("data", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
)
