"""`prefect-server doctor`: what is wrong with a server, and why a run is late; each line says what to do."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated
from uuid import UUID

import httpx
import typer

from server_core.actions.context import ActionContext
from server_core.actions.late_runs import Explanation, explain_run
from server_core.cli.assemble import loop_names
from server_core.cli.checkup import (
    Finding,
    error,
    failed,
    inspect_database,
    inspect_runs,
    inspect_services,
    ok,
    warning,
)
from server_core.cli.config import mistakes
from server_core.cli.readiness import database_url, with_database
from server_core.clock import utc_now
from server_core.config import Settings
from server_core.config_loader import Reading, load_settings, read_settings
from server_core.db.connection import opened
from server_core.db.revisions import found_revisions, head_revisions
from server_core.db.session import Database
from server_core.errors import ServerError
from server_core.observe import configure_logging

_MARKS = {"ok": ("ok", "green"), "warning": ("warn", "yellow"), "error": ("FAIL", "red")}


def doctor(
    run: Annotated[UUID | None, typer.Option("--run", help="Say only why this flow run is not being run.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    url: Annotated[
        str | None,
        typer.Option("--database-url", help="URL of the database. [default: the setting database.connection_url]"),
    ] = None,
) -> None:
    """Look at settings, database, services, loops, agents and late runs; exit code 1 when something is wrong.

    Looks where the settings say that the services listen, changes nothing and waits for nothing. With --run it says why
    a flow run is not being run: exit code 1 when something keeps it.
    """
    if run is not None:
        _why(run, url, as_json=as_json)
        return
    findings = asyncio.run(_examine(read_settings(), url))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    if failed(findings):
        raise typer.Exit(1)


async def _examine(reading: Reading, url: str | None) -> list[Finding]:
    findings = [
        error("settings", line, "prefect-server config check lists all") for line in mistakes(reading, loop_names())
    ]
    if reading.settings is None:
        return findings
    settings = with_database(reading.settings, url)
    configure_logging(replace(settings.logging, level="CRITICAL"))  # what is wrong is a finding
    if not findings:
        findings.append(ok("settings", "they can be used"))
    dsn = None
    try:
        dsn = database_url(settings)
        findings += [finding async for finding in inspect_database(dsn, utc_now)]
    except ServerError as problem:
        # `start` without a database URL runs its own, which cannot be reached while it is stopped
        findings.append(error("database", problem.message, "start Postgres, or correct database.connection_url"))
        dsn = None
    # whether it answers is asked, at an address that no certificate names
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:  # noqa: S501
        findings += [finding async for finding in inspect_services(settings, client, utc_now)]
    if dsn is not None:
        findings += await _of_runs(settings, dsn)
    return findings


async def _of_runs(settings: Settings, dsn: str) -> list[Finding]:
    try:
        async with opened(dsn) as connection:
            if await found_revisions(connection) != head_revisions():
                return [warning("runs", "not looked at: the schema is another one")]
        async with Database(dsn, settings.database) as database:
            context = ActionContext(database=database, settings=settings)
            return [finding async for finding in inspect_runs(context)]
    except ServerError as problem:
        return [warning("runs", f"not looked at: {problem.message}")]


def _print(findings: Sequence[Finding]) -> None:
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        mark, shade = _MARKS[finding.status]
        advice = f"\n{'':<{width + 8}}→ {finding.advice}" if finding.advice else ""
        styled = typer.style(f"{mark:<4}", fg=shade)
        typer.echo(f"{styled}  {finding.subject:<{width}}  {finding.text}{advice}", color=colour)


def _why(run: UUID, url: str | None, *, as_json: bool) -> None:
    settings = with_database(load_settings(), url)
    configure_logging(settings.logging)
    explanation = asyncio.run(_explained(settings, run))
    if as_json:
        typer.echo(json.dumps(asdict(explanation), indent=2, default=str))
    else:
        due = "" if explanation.due is None else f", due {explanation.due.isoformat(timespec='seconds')}"
        typer.echo(f"Flow run {explanation.name or explanation.id} of flow {explanation.flow}{due}:")
        for reason in explanation.reasons:
            typer.echo(f"  {reason.text}" + (f"\n    → {reason.advice}" if reason.advice else ""))
    if any(reason.keeps for reason in explanation.reasons):
        raise typer.Exit(1)


async def _explained(settings: Settings, run: UUID) -> Explanation:
    dsn = database_url(settings)
    async with opened(dsn) as connection:  # one line where there is no database
        found = await found_revisions(connection)
    found.refuse_unknown()
    async with Database(dsn, settings.database) as database:
        return await explain_run(ActionContext(database=database, settings=settings), run)
