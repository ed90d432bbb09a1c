"""Tell listeners which tables a statement changed, so that live queries need not poll (services/data/live).

It only adds triggers, which fire for the legacy server's statements as well and change nothing for them. The first of
the additions: it builds on the baseline, ac5747fb571c, which the other chain has (env.py sees to it).
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "5b1d7f0e9c32"
down_revision = None
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Create the function and one trigger per table."""
    connection = op.get_bind()
    run(connection, SQL / "functions" / "notify_live_queries.sql")
    run(connection, SQL / "triggers" / "notify_live_queries.sql")


def downgrade() -> None:
    """Drop them: the database is the legacy server's again."""
    op.execute("DROP FUNCTION public.notify_live_queries() CASCADE")


def run(connection: sa.Connection, path: Path) -> None:
    """Run a file of several statements; only the driver takes more than one at a time."""
    text = path.read_text(encoding="utf-8")
    connection.connection.dbapi_connection.run_async(lambda driver: driver.execute(text))  # type: ignore[union-attr]
