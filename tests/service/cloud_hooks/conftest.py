"""A run, a receiver on loopback, a clock, and a context whose hooks all lead to that receiver."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from server_core.actions.context import ActionContext
from server_core.actions.hook_delivery import HookDelivery
from server_core.actions.hook_http import HookClient
from server_core.db.session import Database
from tests.service.cloud_hooks.world import RUN_WITH_ALL_ABOVE, Run, Time
from tests.support.receiver import LeadsTo, Receiver, receiving


@pytest.fixture
async def run(database: Database) -> Run:
    """See Run."""
    async with database.transaction() as session:
        row = await session.fetch_row(RUN_WITH_ALL_ABOVE)
    assert row is not None
    return Run(**row)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver of HTTP requests."""
    async with receiving() as opened:
        yield opened


@pytest.fixture
def time() -> Time:
    """The time of `hooked`."""
    return Time()


@pytest.fixture
async def hooked(context: ActionContext, receiver: Receiver, time: Time) -> AsyncIterator[ActionContext]:
    """A context that delivers when its worker is told to; requests to any host end at the receiver."""
    delivery = HookDelivery(
        context.database,
        api_url=context.settings.api.url,
        client=HookClient(transport=LeadsTo(receiver)),
        clock=time,
        chance=lambda: 0.5,
    )
    yield replace(context, hook_delivery=delivery, clock=time)
    await delivery.stop()
