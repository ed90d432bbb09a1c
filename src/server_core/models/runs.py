"""Runs of flows and of their tasks; a trigger keeps the latest state on the row."""

from sqlalchemy import BOOLEAN, INTEGER, TIMESTAMP, VARCHAR, Column, Index, Table, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB

from server_core.models.base import created, identity, metadata, owner, reference, trigram_index, updated

WAITING = text("state IN ('Paused', 'Queued', 'Resume', 'Retrying', 'Scheduled')")
"""The states in which an agent finds a run (actions.md §2.8)."""

flow_run = Table(
    "flow_run",
    metadata,
    identity(),
    owner(),
    created(),
    reference("flow_id", "flow", name="fk_flow_run_flow_id", nullable=False),
    Column("parameters", JSONB, server_default=text("'{}'::jsonb")),
    Column(
        "scheduled_start_time",
        TIMESTAMP(timezone=True),
        index=True,
        nullable=False,
        server_default=text("clock_timestamp()"),
    ),
    Column("auto_scheduled", BOOLEAN, nullable=False, server_default=text("false")),
    Column("heartbeat", TIMESTAMP(timezone=True), index=True),
    Column("start_time", TIMESTAMP(timezone=True), index=True),
    Column("end_time", TIMESTAMP(timezone=True)),
    Column("version", INTEGER, nullable=False, server_default=text("0")),
    Column("state", VARCHAR, index=True),
    Column("state_timestamp", TIMESTAMP(timezone=True)),
    Column("state_message", VARCHAR),
    Column("state_result", JSONB),
    Column("state_start_time", TIMESTAMP(timezone=True)),
    Column("serialized_state", JSONB),
    Column("name", VARCHAR),
    Column("context", JSONB),
    Column("times_resurrected", INTEGER, server_default=text("0")),
    updated(index=True),
    Column("idempotency_key", VARCHAR),
    reference("agent_id", "agent", ondelete="SET NULL"),
    Column("labels", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("run_config", JSONB),
    UniqueConstraint("idempotency_key", "flow_id", name="ix_flow_run_idempotency_key_unique"),
    Index("ix_flow_run_flow_id_scheduled_start_time_for_hasura", "flow_id", text("scheduled_start_time DESC")),
    trigram_index("ix_flow_run_name", "name"),
    Index(
        "ix_flow_run_queue",
        "tenant_id",
        text("coalesce(left(labels ->> 0, 64), '')"),
        "state_start_time",
        "id",
        postgresql_where=WAITING,
    ),
    Index(
        "ix_flow_run_planned",
        "flow_id",
        "scheduled_start_time",
        postgresql_where=text("auto_scheduled AND state = 'Scheduled'"),
    ),
    Index("ix_flow_run_created", "created"),
    Index("ix_flow_run_running", "tenant_id", postgresql_where=text("state = 'Running'")),
)

task_run = Table(
    "task_run",
    metadata,
    identity(),
    owner(),
    created(),
    reference("flow_run_id", "flow_run", name="fk_task_run_flow_run_id", nullable=False),
    reference("task_id", "task", name="fk_task_run_task_id", nullable=False),
    Column("map_index", INTEGER, nullable=False, server_default=text("-1")),
    Column("version", INTEGER, nullable=False, server_default=text("0")),
    Column("heartbeat", TIMESTAMP(timezone=True), index=True),
    Column("start_time", TIMESTAMP(timezone=True)),
    Column("end_time", TIMESTAMP(timezone=True)),
    Column("state", VARCHAR, index=True),
    Column("state_timestamp", TIMESTAMP(timezone=True)),
    Column("state_message", VARCHAR),
    Column("state_result", JSONB),
    Column("state_start_time", TIMESTAMP(timezone=True)),
    Column("serialized_state", JSONB),
    Column("cache_key", VARCHAR, index=True),
    updated(index=True),
    Column("name", VARCHAR),
    UniqueConstraint("flow_run_id", "task_id", "map_index", name="task_run_unique_identifier_key"),
    trigram_index("ix_task_run_name_trgm", "name", where="name IS NOT NULL"),
    Index("ix_task_run_flow_run_id_state", "flow_run_id", "state"),
    Index("ix_task_run_queue", "flow_run_id", "state_start_time", postgresql_where=WAITING),
)
