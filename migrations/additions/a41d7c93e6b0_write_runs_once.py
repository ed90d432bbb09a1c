"""Have a run written once per state, and a new task run once, by the functions that are ours (schema.md §3).

The baseline of earlier releases of ours made functions that do the same and write more rows. A text of the legacy
server's, or of somebody else's, is not ours to replace: ours are told by the digest of their text. Nor is a function
that somebody set options of, or that belongs to a role whose rights we do not have. Nothing is taken back: these
functions belong to the baseline.
"""

from pathlib import Path

from server_core.db.scripts import run_statement

revision = "a41d7c93e6b0"
down_revision = "e7d3105c9b68"
branch_labels = None
depends_on = None

FUNCTIONS = Path(__file__).parent.parent / "sql/functions"

MADE_BEFORE = {
    "insert_task_runs_after_flow_run_insert": "acac975eeb9d66fdce8389662a630a84",
    "update_flow_run_details_on_state_insert": "a4f136a1cbef479c0b63557c6300fb41",
    "update_task_run_details_on_state_insert": "02990f5932c6bfb3b00ef5ab80af46a0",
}
"""Function → MD5 of the text that we gave it."""


def upgrade() -> None:
    """Give these functions their present text."""
    for name, digest in MADE_BEFORE.items():
        text = (FUNCTIONS / f"{name}.sql").read_text(encoding="utf-8")
        text = text.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
        run_statement(f"""
DO $do$
BEGIN
    IF EXISTS (
        SELECT FROM pg_proc
        WHERE oid = to_regproc('public.{name}')
            AND md5(prosrc) = '{digest}'
            AND pg_has_role(proowner, 'USAGE')
            AND proconfig IS NULL
            AND NOT prosecdef
    ) THEN
        EXECUTE $text${text}$text$;
    END IF;
END
$do$""")


def downgrade() -> None:
    """Leave them."""
