"""Tell listeners which tables a statement changed, so that live queries need not poll (services/data/live).

It only adds triggers, which fire for the legacy server's statements as well and change nothing for them. The first of
the additions: it builds on the baseline, ac5747fb571c, which the other chain has (env.py sees to it).
"""

from pathlib import Path

from alembic import op

from server_core.db.scripts import run_script

revision = "5b1d7f0e9c32"
down_revision = None
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Create the function and one trigger per table."""
    run_script(SQL / "functions" / "notify_live_queries.sql")
    run_script(SQL / "triggers" / "notify_live_queries.sql")


def downgrade() -> None:
    """Drop them: the database is the legacy server's again."""
    op.execute("DROP FUNCTION public.notify_live_queries() CASCADE")
