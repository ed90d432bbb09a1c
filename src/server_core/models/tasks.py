"""The tasks of a flow and the edges between them."""

from sqlalchemy import BOOLEAN, INTEGER, VARCHAR, Column, Index, Table, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import INTERVAL, JSONB

from server_core.models.base import created, identity, metadata, owner, reference, trigram_index, updated

task = Table(
    "task",
    metadata,
    identity(),
    owner(),
    created(),
    reference("flow_id", "flow", name="fk_task_flow_id", nullable=False),
    Column("name", VARCHAR),
    Column("slug", VARCHAR),
    Column("description", VARCHAR),
    Column("type", VARCHAR),
    Column("max_retries", INTEGER),
    Column("retry_delay", INTERVAL),
    Column("trigger", VARCHAR),
    Column("mapped", BOOLEAN, nullable=False, server_default=text("false")),
    Column("auto_generated", BOOLEAN, nullable=False, server_default=text("false")),
    Column("cache_key", VARCHAR),
    Column("is_root_task", BOOLEAN, nullable=False, server_default=text("false")),
    Column("is_terminal_task", BOOLEAN, nullable=False, server_default=text("false")),
    Column("is_reference_task", BOOLEAN, nullable=False, server_default=text("false")),
    Column("tags", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    updated(index=True),
    UniqueConstraint("flow_id", "slug", name="task_flow_id_slug_key"),
    trigram_index("ix_task_name", "name"),
    Index("ix_task_tags", "tags", postgresql_using="gin"),
)

edge = Table(
    "edge",
    metadata,
    identity(),
    owner(),
    created(),
    reference("flow_id", "flow", name="fk_edge_flow_id", nullable=False),
    reference("upstream_task_id", "task", name="fk_edge_upstream_task_id", nullable=False),
    reference("downstream_task_id", "task", name="fk_edge_downstream_task_id", nullable=False),
    Column("key", VARCHAR),
    Column("mapped", BOOLEAN, nullable=False, server_default=text("false")),
    updated(index=True),
    UniqueConstraint("flow_id", "downstream_task_id", "upstream_task_id", name="edge_flow_id_task_ids_key"),
)
