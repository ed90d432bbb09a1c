"""A server as its settings describe it → what is right and wrong with it, a finding each. Called by `doctor`.

    inspect_database   reachable, rights, schema, extensions, clocks
    inspect_services   what listens at the ports, whether it is ours and ready, and the loops
    inspect_runs       agents, and runs that are late

Nothing is changed and nothing is waited for: what does not answer at once is wrong.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

from server_core.actions.context import ActionContext
from server_core.actions.figures import SILENT_AFTER
from server_core.actions.late_runs import Explanation, look_at_waiting_runs
from server_core.clock import Clock
from server_core.config import Settings
from server_core.db.connection import opened
from server_core.db.dsn import redacted
from server_core.db.revisions import found_revisions
from server_core.rules.late_runs import age

OLDEST_POSTGRES = 11

SKEW_SECONDS = 2.0
"""Clocks that differ by more are told of: schedules and heartbeats go by them."""

SHOWN = 5
"""How many of a kind are told one by one."""

ANSWER_SECONDS = 5.0

Status = Literal["ok", "warning", "error"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what it is about, such as `database`.
        status: an error makes the checkup fail; a warning does not.
        text: what was found.
        advice: what to do; None: nothing.
    """

    subject: str
    status: Status
    text: str
    advice: str | None = None


def ok(subject: str, text: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(subject=subject, status="ok", text=text)


def warning(subject: str, text: str, advice: str | None = None) -> Finding:
    """Return that something is worth a look."""
    return Finding(subject=subject, status="warning", text=text, advice=advice)


def error(subject: str, text: str, advice: str) -> Finding:
    """Return that something is wrong."""
    return Finding(subject=subject, status="error", text=text, advice=advice)


async def inspect_database(dsn: str, clock: Clock) -> AsyncIterator[Finding]:
    """Yield what is found about the database; the first of them tells whether it can be used at all.

    Raises:
        ConfigError, Unavailable: it cannot be reached.
    """
    async with opened(dsn) as connection:
        before = clock()
        row = await connection.fetchrow(_DATABASE)
        after = clock()
        revisions = await found_revisions(connection)
    assert row is not None  # noqa: S101 - for mypy: a SELECT without a table has a row
    role = f"role {row['role']}{', a superuser' if row['superuser'] else ''}"
    text = f"{redacted(dsn)} is Postgres {row['version']}, {role}"
    if int(row["number"]) < OLDEST_POSTGRES * 10_000:
        yield error("database", text, f"use Postgres {OLDEST_POSTGRES} or newer")
    elif row["recovering"]:
        yield error("database", f"{text}; it takes no writes, being a standby", "use the primary")
    else:
        yield ok("database", text)
    if row["used"] > row["most"] * 0.9:
        yield warning(
            "connections",
            f"{row['used']} of {row['most']} connections are used",
            "raise max_connections of Postgres, or lower database.pool_size",
        )
    if not (row["may_make_tables"] and row["may_make_schemas"]):
        what = "tables in the schema public" if not row["may_make_tables"] else "schemas"
        yield warning("rights", f"the role may not make {what}: upgrades will fail", "let it own the database")
    from server_core.cli.drift import differences  # it needs the models: see db/connection.engine

    lines = await differences(dsn, revisions)
    if not lines:
        yield ok("schema", f"at revisions {revisions}, as this release has it")
    for line in lines[:SHOWN]:
        yield error("schema", line, "prefect-server database upgrade; prefect-server database check lists all")
    if int(row["number"]) < 130_000 and "pgcrypto" not in row["extensions"]:
        yield error("extensions", "pgcrypto is missing, which Postgres before 13 needs", "CREATE EXTENSION pgcrypto;")
    if "pg_trgm" in row["extensions"]:
        yield ok("extensions", "pg_trgm is there")
    else:
        text = "pg_trgm is missing: searches for parts of names read whole tables"
        yield warning("extensions", text, "CREATE EXTENSION pg_trgm; then prefect-server database upgrade")
    yield _clocks(row["now"], before, after)


def _clocks(there: datetime, before: datetime, after: datetime) -> Finding:
    """Compare the database's clock with ours; it was read at some time between two looks at ours."""
    skew = max((before - there).total_seconds(), (there - after).total_seconds(), 0.0)
    if skew <= SKEW_SECONDS:
        return ok("clocks", f"this machine and the database differ by less than {SKEW_SECONDS:g} s")
    text = f"this machine and the database differ by {skew:.1f} s"
    return error("clocks", text, "let both follow a time server (NTP): schedules and heartbeats go by them")


_DATABASE = """
SELECT
    current_setting('server_version') AS version,
    current_setting('server_version_num') AS number,
    current_user AS role,
    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
    pg_is_in_recovery() AS recovering,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used,
    current_setting('max_connections')::int AS most,
    coalesce(has_schema_privilege(to_regnamespace('public')::oid, 'CREATE'), false) AS may_make_tables,
    has_database_privilege(current_database(), 'CREATE') AS may_make_schemas,
    ARRAY(SELECT extname::text FROM pg_extension) AS extensions,
    clock_timestamp() AS now
"""


async def inspect_services(settings: Settings, client: httpx.AsyncClient, clock: Clock) -> AsyncIterator[Finding]:
    """Yield what is found at the ports of the services: all in the gateway's process, or each by itself.

    Args:
        settings: where they listen.
        client: speaks to them.
        clock: returns the current time.
    """
    scheme = "http" if settings.gateway.tls_cert is None else "https"
    gateway = f"{scheme}://{_reachable(settings.gateway.host)}:{settings.gateway.port}"
    start = "start it: prefect-server start (all in one), or prefect-server services gateway"
    yield await _service(client, "gateway", f"{gateway}/health", start)
    loops = await _asked(client, f"{gateway}/towel/health")
    together = _loops(loops) is not None
    if together:
        yield ok("services", "data, graphql and towel are in the gateway's process")
    else:
        for name, url, path in (
            ("data", settings.gateway.data_url, "/healthz"),
            ("graphql", settings.gateway.graphql_url, "/health"),
        ):
            place = urlsplit(url)
            where = f"{place.scheme}://{place.netloc}{path}"
            yield await _service(client, name, where, f"start it: prefect-server services {name}")
        where = f"http://{_reachable(settings.towel.host)}:{settings.towel.port}/health"
        loops = await _asked(client, where)
        if _loops(loops) is None:
            yield await _service(client, "towel", where, "start it: prefect-server services towel")
    ready = await _asked(client, f"{gateway}/ready")
    if isinstance(ready, httpx.Response):
        if ready.status_code == httpx.codes.OK:
            yield ok("gateway", "it is ready: what it needs answers")
        else:
            yield error("gateway", f"it is not ready: {ready.text[:300]}", "see what is wrong with the others")
    for finding in _of_loops(_loops(loops) or {}, clock()):
        yield finding


async def _service(client: httpx.AsyncClient, name: str, url: str, advice: str) -> Finding:
    """Return whether a service of ours answers at a URL, and if not, who has its port."""
    answer = await _asked(client, url)
    place = urlsplit(url)
    url = place._replace(netloc=place.netloc.rpartition("@")[2]).geturl()  # without a password, for what is told
    if isinstance(answer, httpx.Response):
        body = _json(answer)
        if isinstance(body, dict) and "status" in body:
            version = f", version {body['version']}" if "version" in body else ""
            if answer.status_code == httpx.codes.OK:
                return ok(name, f"it answers at {url}{version}")
            return error(name, f"it says at {url} that it does not work: {answer.text[:300]}", "look at its log")
        text = f"what answers at {url} is not ours (status {answer.status_code})"
        return error(name, text + _owner(url), "stop that program, or choose another port")
    if await asyncio.to_thread(_is_free, url):
        return error(name, f"nothing listens at {url}: the port is free", advice)
    text = f"something listens at {url} but does not answer: {answer}"
    return error(name, text + _owner(url), "look at its log, or stop that program")


async def _asked(client: httpx.AsyncClient, url: str) -> httpx.Response | str:
    """Return the answer to a GET, or why there is none."""
    try:
        return await client.get(url, timeout=ANSWER_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        return str(problem) or type(problem).__name__


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _loops(answer: httpx.Response | str) -> Mapping[str, Any] | None:
    """Return the loops that the towel tells of, or None if it is not the towel that answered."""
    body = None if isinstance(answer, str) else _json(answer)
    loops = body.get("loops") if isinstance(body, dict) else None
    return loops if isinstance(loops, dict) else None


def _of_loops(loops: Mapping[str, Any], now: datetime) -> list[Finding]:
    findings = []
    for name, loop in loops.items():
        last = loop.get("last_success")
        ago = "it never succeeded" if last is None else f"it last succeeded {age(now - _time(last))} ago"
        if loop.get("failing"):
            text = f"{name} does not do its work: {ago}; {loop.get('errors', 0)} errors"
            findings.append(error("loops", text, "look at the log of the towel"))
        elif not loop.get("leader"):
            findings.append(ok("loops", f"{name} is run by another towel"))
        else:
            findings.append(ok("loops", f"{name} runs: {ago}"))
    return findings


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _reachable(host: str) -> str:
    """Return the address at which this machine reaches what listens on a host."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"[{host}]" if ":" in host else host


def _is_free(url: str) -> bool:
    place = urlsplit(url)
    try:
        with socket.create_connection(
            (place.hostname or "", place.port or (443 if place.scheme == "https" else 80)), timeout=ANSWER_SECONDS
        ):
            return False
    except OSError:
        return True


def _owner(url: str) -> str:
    """Return which process of this machine listens at a URL, where that can be told."""
    try:
        import psutil
    except ImportError:  # it comes with the embedded Postgres
        return ""
    port = urlsplit(url).port
    try:
        for each in psutil.net_connections(kind="inet"):
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid:
                return f"; it is process {each.pid} ({psutil.Process(each.pid).name()})"
    except psutil.Error:  # not allowed to see others' processes
        pass
    return ""


async def inspect_runs(context: ActionContext) -> AsyncIterator[Finding]:
    """Yield what is found about agents, and why runs are late."""
    waiting = await look_at_waiting_runs(context, limit=SHOWN)
    now = context.clock()
    if not waiting.agents:
        yield warning("agents", "there is no agent", "start one: prefect agent local start")
    heard = [agent for agent in waiting.agents if _is_heard(agent.last_queried, now)]
    for agent in heard:
        labels = ", ".join(sorted(agent.labels)) or "no labels"
        yield ok("agents", f"{agent.name} [{labels}] asked for runs {age(now - (agent.last_queried or now))} ago")
    silent = [agent for agent in waiting.agents if agent not in heard]
    for agent in silent[:SHOWN]:
        since = "never asked" if agent.last_queried is None else f"has not asked for {age(now - agent.last_queried)}"
        text = f"{agent.name} [{', '.join(sorted(agent.labels)) or 'no labels'}] {since} for runs"
        yield warning("agents", text, "start it again, or delete it: retention.agents_days does so by itself")
    if len(silent) > SHOWN:
        yield warning("agents", f"{len(silent) - SHOWN} more agents are silent")
    if not waiting.late:
        yield ok("runs", "none is late")
    for explanation in waiting.oldest:
        yield late_run(explanation, now)
    if waiting.late > len(waiting.oldest):
        yield warning("runs", f"{waiting.late - len(waiting.oldest)} more runs are late")


def _is_heard(last_queried: datetime | None, now: datetime) -> bool:
    return last_queried is not None and now - last_queried <= SILENT_AFTER


def late_run(explanation: Explanation, now: datetime) -> Finding:
    """Return the finding about a late run: what decides first."""
    first = explanation.reasons[0]
    late = timedelta(0) if explanation.due is None else now - explanation.due
    text = f"{explanation.id} of flow {explanation.flow} is late by {age(late)}: {first.text}"
    return warning("runs", text, first.advice)


def failed(findings: Sequence[Finding]) -> bool:
    """Tell whether something is wrong."""
    return any(finding.status == "error" for finding in findings)
