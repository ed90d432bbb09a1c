"""Keep what cloud hooks are to be told until it is delivered: an outbox, written together with the state.

A table of our own: the legacy server neither reads nor writes it. Its only tie is to `cloud_hook`, so that deleting a
hook (the legacy server's way too) drops what waits for it.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "d4b07c95e1a8"
down_revision = "9d2c4a7e51b8"
branch_labels = None
depends_on = None

TABLE = "cloud_hook_delivery"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        TABLE,
        sa.Column("id", sa.UUID, primary_key=True, server_default=sa.text("gen_random_uuid()")),
        sa.Column(
            "cloud_hook_id",
            sa.UUID,
            sa.ForeignKey("cloud_hook.id", name=f"{TABLE}_cloud_hook_id_fkey", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("tenant_id", sa.UUID, nullable=False),
        sa.Column("flow_run_id", sa.UUID, nullable=False),
        sa.Column("version", sa.INTEGER, nullable=False),
        sa.Column("event", postgresql.JSONB, nullable=False),
        sa.Column("created", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.Column("status", sa.VARCHAR, nullable=False, server_default=sa.text("'WAITING'")),
        sa.Column("attempts", sa.INTEGER, nullable=False, server_default=sa.text("0")),
        sa.Column("next_attempt", sa.TIMESTAMP(timezone=True)),
        sa.Column("answers", postgresql.JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("last_error", sa.VARCHAR),
        sa.Column("finished", sa.TIMESTAMP(timezone=True)),
    )
    waiting = sa.text("next_attempt IS NOT NULL")
    due = ["cloud_hook_id", "next_attempt", "created"]
    op.create_index(f"ix_{TABLE}_cloud_hook_id_flow_run_id", TABLE, ["cloud_hook_id", "flow_run_id"])
    op.create_index(f"ix_{TABLE}_cloud_hook_id_next_attempt", TABLE, due, postgresql_where=waiting)
    op.create_index(f"ix_{TABLE}_next_attempt", TABLE, ["next_attempt"], postgresql_where=waiting)
    over = sa.text("finished IS NOT NULL")
    op.create_index(f"ix_{TABLE}_finished", TABLE, ["finished"], postgresql_where=over)


def downgrade() -> None:
    """Drop it, and with it what was not delivered yet."""
    op.drop_table(TABLE)
