"""Log lines of runs; without a primary key, but with a key of our own."""

from sqlalchemy import BOOLEAN, TIMESTAMP, UUID, VARCHAR, Column, Index, Table, text
from sqlalchemy.dialects.postgresql import JSONB

from server_core.models.base import created, metadata, owner, reference, updated

log = Table(
    "log",
    metadata,
    reference("flow_run_id", "flow_run"),
    owner(),
    reference("task_run_id", "task_run"),
    Column("timestamp", TIMESTAMP(timezone=True), nullable=False, server_default=text("now()")),
    Column("name", VARCHAR),
    Column("level", VARCHAR),
    Column("message", VARCHAR),
    Column("info", JSONB),
    Column("id", UUID, nullable=False, server_default=text("gen_random_uuid()")),
    created(),
    updated(index=True),
    Column("is_loaded_from_archive", BOOLEAN),
    Index("ix_log_flow_run_id_timestamp_id", "flow_run_id", "timestamp", "id", unique=True),
)
