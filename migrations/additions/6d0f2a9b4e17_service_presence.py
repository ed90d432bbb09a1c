"""Remember since when clients could reach the server: silence of runs counts from then on.

One row of a table of our own, which refers to none of the legacy server's.
"""

from alembic import op

revision = "6d0f2a9b4e17"
down_revision = "8c41e6a2d7b3"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.execute(
        """
        CREATE TABLE public.service_presence (
            service varchar CONSTRAINT service_presence_pkey PRIMARY KEY,
            since timestamptz NOT NULL,
            seen timestamptz NOT NULL
        )
        """
    )


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE public.service_presence")
