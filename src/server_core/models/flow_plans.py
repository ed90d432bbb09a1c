"""When the scheduler must look at a flow again; a table of our own, which triggers and the scheduler write."""

from sqlalchemy import INTEGER, TIMESTAMP, UUID, Column, Index, Table, text

from server_core.models.base import identity, metadata

flow_plan = Table(
    "flow_plan",
    metadata,
    identity(),
    # No foreign key: a trigger that notes a change must not wait for whoever deletes the flow.
    Column("flow_id", UUID, nullable=False, index=True),
    Column("due", TIMESTAMP(timezone=True), nullable=False, server_default=text("'-infinity'::timestamptz")),
    Column("horizon", INTEGER, nullable=False, server_default=text("0")),
    Index("ix_flow_plan_horizon_due", "horizon", "due"),
)
"""`horizon` is how many events ahead the flow was planned; 0: it was changed, and is due whatever `due` says."""
