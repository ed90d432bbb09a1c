"""`prefect-server tenant`: what an operator does to tenants by hand."""

import asyncio
from typing import Annotated
from uuid import UUID

import typer
from slugify import slugify

from server_core.actions.context import ActionContext
from server_core.actions.tenants import create_tenant
from server_core.cli.readiness import database_url, wait_for_schema
from server_core.config import Settings
from server_core.config_loader import load_settings
from server_core.db.session import Database
from server_core.errors import UniquenessViolation
from server_core.observe import configure_logging
from server_core.store import tenants as store

app = typer.Typer(help="Tenants.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `create` a command of its own while it is the only one."""


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Its name.")],
    slug: Annotated[str | None, typer.Option(help="Its unique slug. [default: made from the name]")] = None,
) -> None:
    """Create a tenant and print its id; prints the id of the one that is there when the slug is taken."""
    settings = load_settings()
    configure_logging(settings.logging)
    typer.echo(asyncio.run(_create(settings, name, slug)))


async def _create(settings: Settings, name: str, slug: str | None) -> UUID:
    dsn = database_url(settings)
    await wait_for_schema(settings, dsn)
    async with Database(dsn, settings.database) as database:
        try:
            return await create_tenant(ActionContext(database=database, settings=settings), name=name, slug=slug)
        except UniquenessViolation:
            async with database.read() as session:
                found = await store.find_tenant_by_slug(session, slug=slugify(name) if slug is None else slug)
            if found is None:
                raise
            return found
