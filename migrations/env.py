"""Runs revisions on the connection it is handed (server_core.db.migrate), or on one it opens for the alembic command.

From a shell: `alembic -x dsn=postgresql://… current`.
"""

import asyncio
import os

from alembic import context
from sqlalchemy import Connection

from server_core.db.migrate import engine
from server_core.models import metadata


def run(connection: Connection) -> None:
    """Run what the command asks for, in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_schemas=True,
        include_name=lambda name, kind, parents: kind != "schema" or name in (None, "utility"),
    )
    with context.begin_transaction():
        context.run_migrations()


async def connect_and_run(dsn: str) -> None:
    """Open a connection of our own: the alembic command line."""
    migrations = engine(dsn)
    try:
        async with migrations.connect() as connection:
            await connection.run_sync(run)
            await connection.commit()
    finally:
        await migrations.dispose()


handed = context.config.attributes.get("connection")
if handed is not None:
    run(handed)
else:
    arguments = context.get_x_argument(as_dictionary=True)
    asyncio.run(connect_and_run(arguments.get("dsn") or os.environ["PREFECT_SERVER__DATABASE__CONNECTION_URL"]))
