"""Have a run written once per state, and a new task run once, by the functions that are ours (schema.md §3).

The baseline of earlier releases of ours made functions that do the same and write more rows. A text of the legacy
server's, or of somebody else's, is not ours to replace. Nothing is taken back: these functions belong to the baseline.
"""

from server_core.db.scripts import renew_functions

revision = "a41d7c93e6b0"
down_revision = "e7d3105c9b68"
branch_labels = None
depends_on = None

MADE_BEFORE = {
    "insert_task_runs_after_flow_run_insert": ("acac975eeb9d66fdce8389662a630a84",),
    "update_flow_run_details_on_state_insert": ("a4f136a1cbef479c0b63557c6300fb41",),
    "update_task_run_details_on_state_insert": ("02990f5932c6bfb3b00ef5ab80af46a0",),
}


def upgrade() -> None:
    """Give these functions their present text."""
    renew_functions(MADE_BEFORE)


def downgrade() -> None:
    """Leave them."""
