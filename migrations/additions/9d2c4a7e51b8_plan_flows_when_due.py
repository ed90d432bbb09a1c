"""Remember when each flow must be planned again, so that the scheduler need not evaluate every schedule at each pass.

A table of our own and triggers that only insert into it: they fire for the legacy server's statements as well and
change nothing for them.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from server_core.db.scripts import run_script

revision = "9d2c4a7e51b8"
down_revision = "6d0f2a9b4e17"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Create the table, with every active flow due, and the triggers that keep it."""
    op.create_table(
        "flow_plan",
        sa.Column("id", sa.UUID, server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("flow_id", sa.UUID, nullable=False),
        sa.Column(
            "due",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("'-infinity'::timestamptz"),
            nullable=False,
        ),
        sa.Column("horizon", sa.INTEGER, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="flow_plan_pkey"),
    )
    op.create_index("ix_flow_plan_flow_id", "flow_plan", ["flow_id"])
    op.create_index("ix_flow_plan_horizon_due", "flow_plan", ["horizon", "due"])
    for function in ("plan_flow_anew", "forget_flow_plan"):
        run_script(SQL / "functions" / f"{function}.sql")
    run_script(SQL / "triggers" / "flow_plan.sql")
    op.execute("INSERT INTO flow_plan (flow_id) SELECT id FROM flow WHERE is_schedule_active AND NOT archived")


def downgrade() -> None:
    """Drop them: the database is the legacy server's again."""
    op.execute("DROP FUNCTION public.plan_flow_anew() CASCADE")
    op.execute("DROP FUNCTION public.forget_flow_plan() CASCADE")
    op.drop_table("flow_plan")
