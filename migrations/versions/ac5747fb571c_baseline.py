"""Baseline: the whole schema as the last legacy release left it (contract: schema.md, sections 1, 3 and 4).

The revision id is the legacy head, so a legacy database is already here and nothing is run on it.
"""

import logging
from pathlib import Path

import sqlalchemy as sa
from alembic import op

from server_core.db.scripts import run_script, writes_only

revision = "ac5747fb571c"
down_revision = None
branch_labels = None
depends_on = None

logger = logging.getLogger("server_core.db.migrate")

HERE = Path(__file__).parent
SQL = HERE.parent / "sql"

FUNCTIONS = (
    "set_updated_timestamp",
    "insert_task_runs_after_flow_run_insert",
    "update_flow_run_details_on_state_insert",
    "update_task_run_details_on_state_insert",
    "downstream_tasks",
    "upstream_tasks",
)
TRIGGERS = (
    "update_timestamp",
    "insert_task_runs_after_flow_run_insert",
    "update_flow_run_details_on_state_insert",
    "update_task_run_details_on_state_insert",
)
TRIGRAM_INDEXES = (
    "CREATE INDEX ix_project_name ON project USING gin (name {operators})",
    "CREATE INDEX ix_flow_name ON flow USING gin (name {operators})",
    "CREATE INDEX ix_task_name ON task USING gin (name {operators})",
    "CREATE INDEX ix_flow_run_name ON flow_run USING gin (name {operators})",
    "CREATE INDEX ix_task_run_name_trgm ON task_run USING gin (name {operators}) WHERE (name IS NOT NULL)",
)

BUILT_IN_UUIDS = 130000
"""The first server version that has gen_random_uuid without an extension."""


def upgrade() -> None:
    """Create everything in an empty database."""
    if needs_pgcrypto():
        op.execute("CREATE EXTENSION IF NOT EXISTS pgcrypto WITH SCHEMA public")
    # Asking for it in any case would need a privilege on the database.
    if writes_only() or op.get_bind().scalar(sa.text("SELECT to_regnamespace('utility')")) is None:
        op.execute("CREATE SCHEMA IF NOT EXISTS utility")
    run_script(HERE / "ac5747fb571c_baseline.sql")
    operators = trigram_operators()
    if operators is not None:
        for statement in TRIGRAM_INDEXES:
            op.execute(statement.format(operators=operators))
    for name in FUNCTIONS:
        run_script(SQL / "functions" / f"{name}.sql")
    for name in TRIGGERS:
        run_script(SQL / "triggers" / f"{name}.sql")


def downgrade() -> None:
    """There is nothing below the baseline."""
    raise RuntimeError("ac5747fb571c is the first revision; drop the database instead.")


def needs_pgcrypto() -> bool:
    """Tell whether the server has no gen_random_uuid of its own; written down, the schema is for one that has."""
    if writes_only():
        return False
    version = op.get_bind().scalar(sa.text("SELECT current_setting('server_version_num')::int"))
    return bool(version < BUILT_IN_UUIDS)


def trigram_operators() -> str | None:
    """Return the qualified name of pg_trgm's operator class, creating the extension if need be; None without it."""
    if writes_only():
        op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public")
        return "public.gin_trgm_ops"
    connection = op.get_bind()
    try:
        with connection.begin_nested():
            connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public"))
    except sa.exc.DBAPIError as error:
        reason = str(error.orig).partition(":")[2].strip() or str(error.orig)
        logger.info("pg_trgm is not available: searches by part of a name go without an index (%s)", reason)
        return None
    return connection.scalar(
        sa.text(
            "SELECT quote_ident(nspname) || '.gin_trgm_ops' FROM pg_extension"
            " JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'pg_trgm'"
        )
    )
