"""Give log lines a key, in the order in which they are read: flow run, time, id (actions.md §2.9).

The legacy table has none. With one a batch that a client sends again stores no line twice, and a run's log is read in
order without sorting it.
"""

from alembic import op
from sqlalchemy.exc import IntegrityError

from server_core.db.indexes import NewIndex, build_indexes, drop_indexes

revision = "c5b90f7e12a4"
down_revision = "d4b07c95e1a8"
branch_labels = None
depends_on = None

KEY = NewIndex(
    name="ix_log_flow_run_id_timestamp_id",
    table="public.log",
    columns='flow_run_id, "timestamp", id',
    unique=True,
)

GIVE_COPIES_AN_ID = """
UPDATE log SET id = gen_random_uuid()
FROM (
    SELECT ctid AS place, row_number() OVER (PARTITION BY flow_run_id, "timestamp", id) AS number
    FROM log
    WHERE flow_run_id IS NOT NULL
) AS line
WHERE log.ctid = line.place AND line.number > 1
"""
"""A restore that was run twice leaves lines with the same id."""


def upgrade() -> None:
    """Build the key; if lines share an id, only then, it is renewed in all of them but one."""
    try:
        build_indexes([KEY])
    except IntegrityError:
        op.execute(GIVE_COPIES_AN_ID)
        build_indexes([KEY])


def downgrade() -> None:
    """Drop it."""
    drop_indexes([KEY])
