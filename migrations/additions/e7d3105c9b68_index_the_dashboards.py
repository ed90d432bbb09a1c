"""Index what dashboards and the command line ask for: the task runs of a run by state, and the newest runs.

The counts of a run's task runs by state are read from the index alone, and `prefect get flow-runs`, which orders by
`created`, does not read every run there ever was.
"""

from server_core.db.indexes import NewIndex, build_indexes, drop_indexes

revision = "e7d3105c9b68"
down_revision = "2b6f8d0c4a93"
branch_labels = None
depends_on = None

INDEXES = (
    NewIndex(name="ix_task_run_flow_run_id_state", table="public.task_run", columns="flow_run_id, state"),
    NewIndex(name="ix_flow_run_created", table="public.flow_run", columns="created"),
)


def upgrade() -> None:
    """Build the indexes."""
    build_indexes(INDEXES)


def downgrade() -> None:
    """Drop them."""
    drop_indexes(INDEXES)
