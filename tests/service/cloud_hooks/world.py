"""A run with all it belongs to, a time that tests set, and short ways to make hooks, states and deliveries."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from server_core.actions import cloud_hooks
from server_core.actions.context import ActionContext
from server_core.actions.hook_delivery import HookDelivery
from server_core.actions.hook_http import HookClient
from server_core.actions.states import FlowRunStateInput, set_flow_run_states
from server_core.config import HookSettings
from server_core.db.session import Database
from tests.support.receiver import LeadsTo, Receiver
from tests.support.rows import fetch_all

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TWILIO = {"account_sid": "AC1", "auth_token": "tok", "messaging_service_sid": "MG1", "to": ["+15551", "+15552"]}

RUN_WITH_ALL_ABOVE = """
WITH tenant AS (INSERT INTO tenant (name, slug) VALUES ('Acme', 'acme') RETURNING id),
     project AS (INSERT INTO project (tenant_id, name) SELECT id, 'p' FROM tenant RETURNING id, tenant_id),
     grouped AS (INSERT INTO flow_group (tenant_id, name) SELECT id, 'group-1' FROM tenant RETURNING id),
     flow AS (
       INSERT INTO flow (tenant_id, project_id, flow_group_id, name, version, version_group_id)
       SELECT project.tenant_id, project.id, grouped.id, 'ETL', 1, 'group-1' FROM project, grouped
       RETURNING id, tenant_id, flow_group_id
     )
INSERT INTO flow_run (tenant_id, flow_id, name, version, state)
SELECT tenant_id, id, 'brave-otter', 4, 'Running' FROM flow
RETURNING id, tenant_id, flow_id, (SELECT flow_group_id FROM flow)
"""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run in the database: `brave-otter` of flow `ETL` of tenant `acme`, Running at version 4."""

    id: UUID
    tenant_id: UUID
    flow_id: UUID
    flow_group_id: UUID


class Time:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **amount: float) -> None:
        """Move on by a timedelta."""
        self.now += timedelta(**amount)


class Unplugged(httpx.AsyncBaseTransport):
    """Reaches a receiver, but for hosts that are unplugged; they are kept in `tried`."""

    def __init__(self, receiver: Receiver, *hosts: str) -> None:
        self._inner = LeadsTo(receiver)
        self.hosts = set(hosts)
        self.tried: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host in self.hosts:
            self.tried.append(request.url.host)
            raise httpx.ConnectError("unplugged")
        return await self._inner.handle_async_request(request)


async def another_run(database: Database, run: Run, name: str = "calm-owl") -> Run:
    """Insert a further run of the same flow, Running at version 4."""
    async with database.transaction() as session:
        run_id = await session.fetch_value(
            "INSERT INTO flow_run (tenant_id, flow_id, name, version, state) VALUES ($1, $2, $3, 4, 'Running')"
            " RETURNING id",
            run.tenant_id,
            run.flow_id,
            name,
        )
    return replace(run, id=run_id)


async def create(context: ActionContext, run: Run, **changes: Any) -> UUID:
    """Make a hook; by default a webhook for Failed."""
    values: dict[str, Any] = {
        "tenant_id": run.tenant_id,
        "type": "WEBHOOK",
        "states": ["Failed"],
        "config": {"url": "http://receiver.example/hook"},
        **changes,
    }
    return await cloud_hooks.create_cloud_hook(context, **values)


async def write(context: ActionContext, run: Run, *states: str, message: str | None = "because") -> None:
    """Write states of a run, in one batch."""
    document = {} if message is None else {"message": message}
    inputs = [FlowRunStateInput(flow_run_id=run.id, state={"type": state, **document}) for state in states]
    await set_flow_run_states(context, states=inputs)


def worker(context: ActionContext) -> HookDelivery:
    """Return the hook delivery of a context."""
    assert context.hook_delivery is not None
    return context.hook_delivery


def another_worker(
    context: ActionContext,
    transport: httpx.AsyncBaseTransport,
    time: Time,
    *,
    grace_seconds: float = 2.5,
    **settings: Any,
) -> HookDelivery:
    """Return a worker as another process has one."""
    return HookDelivery(
        context.database,
        api_url=context.settings.api.url,
        settings=HookSettings(**settings),
        client=HookClient(transport=transport),
        clock=time,
        chance=lambda: 0.5,
        grace_seconds=grace_seconds,
    )


async def tell(context: ActionContext, run: Run, *states: str, message: str | None = "because") -> None:
    """Write states and deliver all that is due."""
    await write(context, run, *states, message=message)
    await worker(context).drain()


async def deliveries(database: Database) -> list[dict[str, Any]]:
    """Return the outbox, oldest event first."""
    return await fetch_all(database, "SELECT * FROM cloud_hook_delivery ORDER BY created, version, id")


async def statuses(database: Database) -> list[str]:
    """Return what became of the events, oldest first."""
    return [row["status"] for row in await deliveries(database)]


async def stored_messages(database: Database) -> Sequence[dict[str, Any]]:
    """Return the messages, oldest first."""
    return await fetch_all(database, "SELECT * FROM message ORDER BY created, id")
