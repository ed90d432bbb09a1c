"""Have the first states of task runs made without a look at each, by the functions that are ours (schema.md §3).

The texts that earlier releases of ours gave them do the same. They looked for task runs that a new flow run has already
in a way that may read the whole table. Nothing is taken back: these functions belong to the baseline.
"""

from server_core.db.scripts import renew_functions

revision = "f60c3b8e1d29"
down_revision = "a41d7c93e6b0"
branch_labels = None
depends_on = None

MADE_BEFORE = {
    "insert_task_runs_after_flow_run_insert": (
        "924d7fc08570e48ac6882b97324d1fc2",
        "c558603aaef76def717fde1cd2ca6ad5",
    ),
    "update_task_run_details_on_state_insert": ("81e9f58050d3a3aa57039bec7454c935",),
}


def upgrade() -> None:
    """Give these functions their present text."""
    renew_functions(MADE_BEFORE)


def downgrade() -> None:
    """Leave them."""
