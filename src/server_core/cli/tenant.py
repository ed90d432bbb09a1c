"""`prefect-server tenant`: what an operator does to tenants by hand."""

import asyncio
import json
from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import typer
from slugify import slugify

from server_core.actions.context import ActionContext
from server_core.actions.tenants import create_tenant
from server_core.cli.readiness import database_url, wait_for_schema
from server_core.config import Settings
from server_core.config_loader import load_settings
from server_core.db.session import Database, Row
from server_core.errors import UniquenessViolation
from server_core.observe import configure_logging
from server_core.store import tenants as store

app = typer.Typer(help="Tenants.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Its name.")],
    slug: Annotated[str | None, typer.Option(help="Its unique slug. [default: made from the name]")] = None,
) -> None:
    """Create a tenant and print its id; prints the id of the one that is there when the slug is taken."""
    settings = load_settings()
    configure_logging(settings.logging)
    typer.echo(asyncio.run(_create(settings, name, slug)))


@app.command(name="list")
def list_tenants(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Print id, slug and name of each tenant, oldest first."""
    settings = load_settings()
    configure_logging(settings.logging)
    tenants = asyncio.run(_list(settings))
    if as_json:
        typer.echo(json.dumps([{key: str(each[key]) for key in ("id", "slug", "name")} for each in tenants], indent=2))
        return
    width = max((len(each["slug"]) for each in tenants), default=0)
    for each in tenants:
        typer.echo(f"{each['id']}  {each['slug']:<{width}}  {each['name']}")


async def _list(settings: Settings) -> Sequence[Row]:
    dsn = database_url(settings)
    await wait_for_schema(settings, dsn)
    async with Database(dsn, settings.database) as database, database.read() as session:
        return await store.fetch_tenants(session)


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
