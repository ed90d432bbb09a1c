"""Runs one chain on the connection it is handed (server_core.db.migrate), or on one it opens for the alembic command.

Which chain it is, and so which version table is kept, follows from the folder of the revisions. From a shell, in this
folder: `alembic -x dsn=postgresql://… current` for the additions, `alembic -n baseline -x dsn=…` for the legacy schema.
"""

import asyncio
import os
from pathlib import Path

import sqlalchemy as sa
from alembic import context
from alembic.util import CommandError

from server_core.db.connection import engine
from server_core.db.legacy import BASELINE
from server_core.db.revisions import ADDITIONS, LEAVING, VERSION_TABLES
from server_core.models import metadata

FOLDER = Path(context.script.versions).name


def run(connection: sa.Connection) -> None:
    """Run what the command asks for, in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=VERSION_TABLES[FOLDER],
        include_schemas=True,
        include_name=included,
    )
    with context.begin_transaction():
        if FOLDER == ADDITIONS and not context.config.attributes.get(LEAVING):
            require_baseline(connection)
        context.run_migrations()


def included(name: str | None, kind: str, parents: object) -> bool:
    """Compare models with our schemas only, and not with what keeps the versions."""
    if kind == "schema":
        return name in (None, "utility")
    return kind != "table" or name not in VERSION_TABLES.values()


def require_baseline(connection: sa.Connection) -> None:
    """Refuse a database whose legacy chain is not at its end, which the additions build on."""
    found = None
    if connection.scalar(sa.text("SELECT to_regclass('public.alembic_version')")) is not None:
        found = connection.scalar(sa.text("SELECT version_num FROM public.alembic_version"))
    if found != BASELINE:
        raise CommandError(f"The additions build on {BASELINE}, but the database is at {found}: -n baseline first.")


async def connect_and_run(dsn: str) -> None:
    """Open a connection of our own: the alembic command line."""
    migrations = engine(dsn)
    try:
        async with migrations.connect() as connection:
            await connection.run_sync(run)
            await connection.commit()
    finally:
        await migrations.dispose()


def write() -> None:
    """Write the statements down instead of running them: `alembic upgrade --sql`, a dry run."""
    context.configure(dialect_name="postgresql", version_table=VERSION_TABLES[FOLDER], literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


handed = context.config.attributes.get("connection")
if context.is_offline_mode():
    write()
elif handed is not None:
    run(handed)
else:
    arguments = context.get_x_argument(as_dictionary=True)
    asyncio.run(connect_and_run(arguments.get("dsn") or os.environ["PREFECT_SERVER__DATABASE__CONNECTION_URL"]))
