"""Remember what is being deleted in batches, so that an interrupted removal is picked up again.

A table of our own that refers to none of the legacy server's: what that server deletes meanwhile is simply gone when
the removal comes to it.
"""

from alembic import op

revision = "3e9a61c07d54"
down_revision = "8c2f4b7d1e60"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.execute(
        """
        CREATE TABLE public.pending_removal (
            id uuid CONSTRAINT pending_removal_pkey PRIMARY KEY,
            kind varchar NOT NULL,
            requested timestamptz NOT NULL DEFAULT now()
        )
        """
    )


def downgrade() -> None:
    """Drop it: what was still being deleted stays, archived."""
    op.execute("DROP TABLE public.pending_removal")
