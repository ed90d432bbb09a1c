"""Index what an agent's poll looks for, so that it costs the same however many runs there are (actions.md §2.8).

Runs that wait to start are found by tenant, first label and start time: the run that an agent may take is not hidden
behind any number that it may not, because a run's first label is one of the agent's if all of them are. The label is
cut, so that no label is too long for an index.

Partial indexes: a run is in them only while it waits or runs.
"""

from alembic import op

from server_core.db.indexes import NewIndex, build_indexes, drop_indexes

revision = "8c41e6a2d7b3"
down_revision = "3e9a61c07d54"
branch_labels = None
depends_on = None

WAITING = "state IN ('Paused', 'Queued', 'Resume', 'Retrying', 'Scheduled')"

INDEXES = (
    NewIndex(
        name="ix_flow_run_queue",
        table="public.flow_run",
        columns="tenant_id, coalesce(left(labels ->> 0, 64), ''), state_start_time, id",
        where=WAITING,
    ),
    NewIndex(name="ix_flow_run_running", table="public.flow_run", columns="tenant_id", where="state = 'Running'"),
    NewIndex(name="ix_task_run_queue", table="public.task_run", columns="flow_run_id, state_start_time", where=WAITING),
)

ANALYZE = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM public.flow_run) THEN
        ANALYZE public.flow_run;
    END IF;
END
$$
"""
"""Not an empty table: Postgres 14 and later would take that for a fact, and plan to read the whole table, also when it
has grown: sessions keep plans, those of foreign keys too, until the table is analyzed again.
"""


def upgrade() -> None:
    """Build the indexes; what is in an expression has statistics only after an ANALYZE."""
    build_indexes(INDEXES)
    op.execute(ANALYZE)


def downgrade() -> None:
    """Drop them."""
    drop_indexes(INDEXES)
