"""Index the planned runs that still wait, and the flow groups with a late policy (demand 29, actions.md §2.4, §2.5).

Turning a schedule off, archiving a flow and replacing a group's schedule look for the same runs: those of a flow that
the scheduler planned and that are Scheduled. A flow has about ten of them, whatever the number of its past runs.
"""

from server_core.db.indexes import NewIndex, build_indexes, drop_indexes

revision = "2b6f8d0c4a93"
down_revision = "c5b90f7e12a4"
branch_labels = None
depends_on = None

INDEXES = (
    NewIndex(
        name="ix_flow_run_planned",
        table="public.flow_run",
        columns="flow_id, scheduled_start_time",
        where="auto_scheduled AND state = 'Scheduled'",
    ),
    NewIndex(
        name="ix_flow_group_late_policy",
        table="public.flow_group",
        columns="id",
        where="settings ->> 'late_policy' IN ('latest_only', 'skip_after')",
    ),
)


def upgrade() -> None:
    """Build the indexes."""
    build_indexes(INDEXES)


def downgrade() -> None:
    """Drop them."""
    drop_indexes(INDEXES)
