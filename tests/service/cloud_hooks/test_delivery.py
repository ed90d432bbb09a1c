"""Events are delivered once, later if need be, and nobody waits for anybody else's receiver (actions.md §7.2)."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from server_core.actions import cloud_hooks
from server_core.actions.context import ActionContext
from server_core.actions.hook_delivery import LEASE, HookDelivery
from server_core.actions.hook_http import HookClient
from server_core.config import HookSettings
from server_core.rules import hook_events
from tests.service.cloud_hooks.world import (
    NOW,
    TWILIO,
    Run,
    Time,
    another_run,
    create,
    deliveries,
    statuses,
    stored_messages,
    tell,
    worker,
    write,
)
from tests.support.receiver import LeadsTo, Receiver
from tests.support.recorder import recorded
from tests.support.rows import execute
from tests.support.waiting import wait_until


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


async def test_an_event_is_delivered_once(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """The row keeps the status of the answer."""
    await create(hooked, run)
    await tell(hooked, run, "Failed")
    await worker(hooked).drain()
    [row] = await deliveries(hooked.database)
    assert [request.headers["x-prefect-event-id"] for request in receiver.received] == [str(row["id"])]
    assert (row["status"], row["attempts"], row["next_attempt"], row["finished"]) == ("DELIVERED", 1, None, NOW)
    assert (row["answers"], row["last_error"]) == ({"0": 200}, None)


async def test_a_receiver_that_was_down_hears_it_once(
    hooked: ActionContext, run: Run, receiver: Receiver, time: Time
) -> None:
    """Down for ten minutes: told once after that, with the id and the time of the event."""
    await create(hooked, run)
    transport = Unplugged(receiver, "receiver.example")
    delivery = another_worker(hooked, transport, time)
    await write(hooked, run, "Failed")
    for _ in range(120):
        await delivery.drain()
        time.pass_by(seconds=5)
    assert receiver.received == []
    assert 5 <= len(transport.tried) <= 8
    [row] = await deliveries(hooked.database)
    assert (row["status"], row["attempts"], row["last_error"]) == ("WAITING", len(transport.tried), "unplugged")
    transport.hosts.clear()
    for _ in range(120):
        await delivery.drain()
        time.pass_by(seconds=5)
    [request] = receiver.received
    assert request.json["event"]["id"] == request.headers["x-prefect-event-id"] == str(row["id"])
    assert request.json["event"]["timestamp"] == NOW.isoformat()
    assert await statuses(hooked.database) == ["DELIVERED"]


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_a_status_that_may_pass_is_tried_again(
    hooked: ActionContext, run: Run, receiver: Receiver, time: Time, status: int
) -> None:
    """The event keeps its id; the receiver decides by it whether it knows the event."""
    await create(hooked, run)
    receiver.statuses = [status, status, 200]
    await tell(hooked, run, "Failed")
    [row] = await deliveries(hooked.database)
    assert (row["status"], row["next_attempt"]) == ("WAITING", NOW + timedelta(seconds=5))
    assert row["last_error"] == f"The receiver answered with status {status}."
    for seconds in (5, 10):
        await worker(hooked).drain()
        time.pass_by(seconds=seconds)
    await worker(hooked).drain()
    assert len({request.headers["x-prefect-event-id"] for request in receiver.received}) == 1
    assert len(receiver.received) == 3
    assert await statuses(hooked.database) == ["DELIVERED"]


async def test_a_receiver_may_ask_to_be_left_alone(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """Retry-After, within the longest pause."""
    await create(hooked, run)
    receiver.status, receiver.headers = 429, "Retry-After: 77\r\n"
    await tell(hooked, run, "Failed")
    [row] = await deliveries(hooked.database)
    assert row["next_attempt"] == NOW + timedelta(seconds=77)


@pytest.mark.parametrize("status", [400, 401, 404, 410])
async def test_a_refusal_is_final(
    hooked: ActionContext, run: Run, receiver: Receiver, time: Time, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """It is on record with its status, and logged without the secrets of the URL."""
    await create(hooked, run, config={"url": "http://receiver.example/secret-path"})
    receiver.status = status
    await tell(hooked, run, "Failed")
    time.pass_by(days=1)
    await worker(hooked).drain()
    assert len(receiver.received) == 1
    [row] = await deliveries(hooked.database)
    assert (row["status"], row["answers"]) == ("FAILED", {"0": status})
    assert row["last_error"] == f"The receiver refused it with status {status}."
    assert "cloud hook not delivered" in caplog.text
    assert "secret-path" not in caplog.text


async def test_redirects_are_not_followed(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """They count as delivered: some receivers answer with one when they took the event."""
    receiver.status, receiver.headers = 307, "Location: http://elsewhere.example/\r\n"
    await create(hooked, run)
    await tell(hooked, run, "Failed")
    assert [request.headers["host"] for request in receiver.received] == ["receiver.example"]
    assert await statuses(hooked.database) == ["DELIVERED"]


async def test_half_a_config_is_given_up(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """A hook that the legacy server let through, or an event that cannot be read, fails alone and for good."""
    await execute(
        hooked.database,
        "INSERT INTO cloud_hook (tenant_id, type, states, config) VALUES ($1, 'TWILIO', '[\"FAILED\"]', '{}')",
        run.tenant_id,
    )
    await create(hooked, run)
    await write(hooked, run, "Failed")
    await write(hooked, await another_run(hooked.database, run), "Failed")
    await execute(
        hooked.database,
        "UPDATE cloud_hook_delivery SET event = '{}' WHERE flow_run_id = $1"
        " AND cloud_hook_id = (SELECT id FROM cloud_hook WHERE type = 'WEBHOOK')",
        run.id,
    )
    await worker(hooked).drain()
    assert len(receiver.received) == 1
    assert sorted(await statuses(hooked.database)) == ["DELIVERED", "FAILED", "FAILED", "FAILED"]


@pytest.mark.parametrize("limit", [{"max_attempts": 3}, {"max_age_seconds": 20}])
async def test_it_is_given_up_at_last(
    hooked: ActionContext, run: Run, receiver: Receiver, time: Time, limit: dict[str, int]
) -> None:
    """After 5 and 10 s the third attempt is made at 15 s; the fourth would be at 35 s."""
    await create(hooked, run)
    await write(hooked, run, "Failed")
    receiver.status = 503
    delivery = another_worker(hooked, LeadsTo(receiver), time, **limit)
    for _ in range(100):
        await delivery.drain()
        time.pass_by(seconds=5)
    assert len(receiver.received) == 3
    [row] = await deliveries(hooked.database)
    assert (row["status"], row["attempts"], row["finished"]) == ("FAILED", 3, NOW + timedelta(seconds=15))


async def test_another_worker_delivers_for_one_that_died(
    hooked: ActionContext, run: Run, receiver: Receiver, time: Time
) -> None:
    """Killed after the commit, nobody was woken; killed while sending, the lease ends first."""
    await create(hooked, run)
    await write(hooked, run, "Failed")
    other = another_worker(hooked, LeadsTo(receiver), time)
    receiver.gate.clear()
    dying = asyncio.create_task(worker(hooked).drain())
    await asyncio.wait_for(receiver.arrived.wait(), 10)
    tasks = [dying, *worker(hooked)._sending]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await statuses(hooked.database) == ["SENDING"]
    receiver.gate.set()
    received = len(receiver.received)

    await other.drain()
    assert len(receiver.received) == received
    time.now = NOW + LEASE
    await other.drain()
    assert len(receiver.received) == received + 1
    assert await statuses(hooked.database) == ["DELIVERED"]


async def test_workers_share_the_work(hooked: ActionContext, run: Run, receiver: Receiver, time: Time) -> None:
    """No event is sent twice, however many look for due ones at the same time."""
    await create(hooked, run)
    for number in range(40):
        await write(hooked, await another_run(hooked.database, run, f"run-{number}"), "Failed")
    workers = [another_worker(hooked, LeadsTo(receiver), time) for _ in range(3)]
    await asyncio.gather(*(each.drain() for each in workers))
    assert len(receiver.received) == len({request.headers["x-prefect-event-id"] for request in receiver.received}) == 40


async def test_one_runs_events_arrive_in_order(hooked: ActionContext, run: Run, receiver: Receiver, time: Time) -> None:
    """Also with several workers and slots; runs do not wait for each other."""
    await create(hooked, run, states=["Running", "Failed", "Success", "Retrying"])
    runs = [run, await another_run(hooked.database, run)]
    for _ in range(3):
        for each in runs:
            await write(hooked, each, "Running", "Failed", "Retrying", "Success")
    await asyncio.gather(*(another_worker(hooked, LeadsTo(receiver), time).drain() for _ in range(3)))
    for each in runs:
        events = [request.json["event"] for request in receiver.received]
        versions = [event["state"]["version"] for event in events if event["flow_run"]["id"] == str(each.id)]
        assert versions == list(range(5, 17))


async def test_dead_receivers_delay_nobody(hooked: ActionContext, run: Run, receiver: Receiver, time: Time) -> None:
    """More dead hooks than there are slots, each with a backlog: one that lives is told in the next pass."""
    for number in range(12):
        await create(hooked, run, config={"url": f"http://dead-{number}.example/"})
    hosts = [f"dead-{number}.example" for number in range(12)]
    transport = Unplugged(receiver, *hosts)
    delivery = another_worker(hooked, transport, time, max_concurrent=4)
    for number in range(20):
        await write(hooked, await another_run(hooked.database, run, f"run-{number}"), "Failed")
    await delivery.drain()
    before = len(transport.tried)
    await create(hooked, run, config={"url": "http://alive.example/"})
    late = await another_run(hooked.database, run, "late")
    time.pass_by(seconds=60)
    await write(hooked, late, "Failed")
    await delivery._pass()
    await wait_until(lambda: len(receiver.received) == 1, seconds=10, what="the living receiver is told")
    await delivery.drain()
    assert receiver.received[0].json["event"]["flow_run"]["name"] == "late"
    assert before <= 12 * 4
    assert len(transport.tried) - before <= 12


async def test_a_slow_receiver_has_few_slots(hooked: ActionContext, run: Run, receiver: Receiver, time: Time) -> None:
    """While one hook's requests hang, another's are sent."""
    await create(hooked, run, config={"url": "http://slow.example/"})
    for number in range(10):
        await write(hooked, await another_run(hooked.database, run, f"run-{number}"), "Failed")
    await create(hooked, run, config={"url": "http://quick.example/"}, states=["Success"])
    await write(hooked, run, "Success")
    hanging = asyncio.Event()

    class Slow(LeadsTo):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.host == "slow.example":
                await hanging.wait()
            return await super().handle_async_request(request)

    delivery = another_worker(hooked, Slow(receiver), time)
    await delivery._pass()
    await wait_until(lambda: len(receiver.received) == 1, seconds=10, what="the quick receiver is told")
    assert len(delivery._sending) == 4
    hanging.set()
    await delivery.drain()
    assert len(receiver.received) == 11


async def test_a_silent_receiver_is_left_after_its_time(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """§7.3: Slack gets one second; writing the state does not wait for it."""
    receiver.silent = True
    await create(hooked, run, type="SLACK_WEBHOOK")
    await tell(hooked, run, "Failed")
    [row] = await deliveries(hooked.database)
    assert (row["status"], row["last_error"]) == ("WAITING", "The receiver did not answer in time.")


async def test_no_number_is_texted_twice(hooked: ActionContext, run: Run, receiver: Receiver, time: Time) -> None:
    """§7.3 Twilio: of four numbers one is refused and one fails for now; only that one is tried again."""
    numbers = ["+1", "+2", "+3", "+4"]
    await create(hooked, run, type="TWILIO", config={**TWILIO, "to": numbers})
    receiver.statuses = [201, 503, 400, 201]
    await tell(hooked, run, "Failed")
    assert [request.form["To"] for request in receiver.received] == numbers
    [row] = await deliveries(hooked.database)
    assert (row["status"], row["answers"]) == ("WAITING", {"0": 201, "2": 400, "3": 201})
    time.pass_by(seconds=5)
    await worker(hooked).drain()
    assert [request.form["To"] for request in receiver.received[4:]] == ["+2"]
    [row] = await deliveries(hooked.database)
    assert (row["status"], row["last_error"]) == ("FAILED", "The receiver refused it with status 400.")
    assert row["answers"] == {"0": 201, "1": 200, "2": 400, "3": 201}


async def test_a_worker_that_dies_between_two_numbers(
    hooked: ActionContext, run: Run, receiver: Receiver, time: Time
) -> None:
    """§7.3 Twilio: what was answered is on record before the next number's turn."""
    await create(hooked, run, type="TWILIO", config=TWILIO)
    await write(hooked, run, "Failed")
    held = asyncio.Event()

    class SecondHangs(LeadsTo):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if receiver.received:
                held.set()
                await asyncio.Event().wait()
            return await super().handle_async_request(request)

    dying = another_worker(hooked, SecondHangs(receiver), time)
    await dying._pass()
    await asyncio.wait_for(held.wait(), 10)
    for task in dying._sending:
        task.cancel()
    time.now = NOW + LEASE
    await worker(hooked).drain()
    assert [request.form["To"] for request in receiver.received] == TWILIO["to"]
    assert await statuses(hooked.database) == ["DELIVERED"]


async def test_a_message_is_left_once(hooked: ActionContext, run: Run, receiver: Receiver, time: Time) -> None:
    """§7.3: the message is stored by the statement that notes its delivery, whoever else claims it."""
    await create(hooked, run, type="PREFECT_MESSAGE", config=None)
    await write(hooked, run, "Failed")
    other = another_worker(hooked, LeadsTo(receiver), time)
    await worker(hooked)._pass()
    await asyncio.wait(worker(hooked)._sending)
    time.now = NOW + LEASE
    await other.drain()
    assert len(await stored_messages(hooked.database)) == 1
    await worker(hooked).drain()
    [row] = await stored_messages(hooked.database)
    assert (row["tenant_id"], row["type"], row["read"]) == (run.tenant_id, "CLOUD_HOOK", False)
    assert row["content"]["type"] == "CLOUD_HOOK"
    assert row["content"]["event"]["state"]["state"] == "Failed"
    assert row["content"]["event"]["flow_run"]["id"] == str(run.id)
    assert receiver.received == []
    assert await statuses(hooked.database) == ["DELIVERED"]


async def test_a_stop_gives_back_what_is_under_way(
    hooked: ActionContext, run: Run, receiver: Receiver, time: Time
) -> None:
    """The next worker need not wait for the lease, and the attempt does not count."""
    await create(hooked, run)
    await write(hooked, run, "Failed")

    class Hangs(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            reached.set()
            await asyncio.Event().wait()
            raise AssertionError

    reached = asyncio.Event()
    stopping = another_worker(hooked, Hangs(), time, grace_seconds=0)
    stopping.start()
    await asyncio.wait_for(reached.wait(), 10)
    await stopping.stop()
    [row] = await deliveries(hooked.database)
    assert (row["status"], row["attempts"], row["next_attempt"]) == ("WAITING", 0, NOW)
    await worker(hooked).drain()
    assert len(receiver.received) == 1


async def test_a_started_worker_is_woken(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """§3.4.7: the commit wakes the worker of its process; nobody waits for the interval."""
    delivery = HookDelivery(
        hooked.database,
        api_url="http://localhost:4200",
        settings=HookSettings(poll_interval_seconds=3600),
        client=HookClient(transport=LeadsTo(receiver)),
    )
    delivery.start()
    context = replace(hooked, hook_delivery=delivery, clock=lambda: NOW)
    await create(context, run)
    await write(context, run, "Failed")
    await wait_until(lambda: receiver.received, seconds=10, what="the event arrives")
    await delivery.stop()
    assert await statuses(hooked.database) == ["DELIVERED"]


async def test_a_state_that_no_hook_wants_wakes_nobody(hooked: ActionContext, run: Run) -> None:
    await create(hooked, run, states=["Success"])
    await write(hooked, run, "Failed")
    assert not worker(hooked)._woken.is_set()
    await write(hooked, run, "Success")
    assert worker(hooked)._woken.is_set()


async def test_an_idle_worker_asks_one_question(hooked: ActionContext, run: Run) -> None:
    """One indexed look for due deliveries a pass."""
    await create(hooked, run)
    async with recorded(hooked.database):
        await worker(hooked).drain()  # asyncpg looks up array types once per connection
    async with recorded(hooked.database) as recorder:
        await worker(hooked).drain()
    assert len(recorder.sent) == 1


async def test_old_records_are_removed(hooked: ActionContext, run: Run, receiver: Receiver, time: Time) -> None:
    """Those that are over, after the retention; what waits stays for as long as it is tried."""
    await create(hooked, run)
    await tell(hooked, run, "Failed")
    time.pass_by(days=6)
    await create(hooked, run, type="PREFECT_MESSAGE", states=["Success"])
    await tell(hooked, run, "Success")
    receiver.status = 503
    await tell(hooked, run, "Failed")
    await worker(hooked)._remove_old()
    assert await statuses(hooked.database) == ["DELIVERED", "DELIVERED", "WAITING"]
    time.pass_by(days=1)
    await worker(hooked)._remove_old()
    assert await statuses(hooked.database) == ["DELIVERED", "WAITING"]
    time.pass_by(days=6)
    await worker(hooked)._remove_old()
    assert await statuses(hooked.database) == ["WAITING"]


async def test_a_lost_database_loses_no_outcome(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """An outcome that cannot be noted is kept until it can."""
    await create(hooked, run)
    await write(hooked, run, "Failed")
    delivery = worker(hooked)
    await delivery._pass()
    await wait_until(lambda: not delivery._sending, seconds=10, what="the event is sent")
    await hooked.database.close()
    with pytest.raises(Exception, match="not open"):
        await delivery._pass()
    await hooked.database.open()
    await delivery.drain()
    assert len(receiver.received) == 1
    assert await statuses(hooked.database) == ["DELIVERED"]


async def test_events_are_the_documented_ones(hooked: ActionContext, run: Run) -> None:
    """§7.3: what is read from the outbox is what was written, to the microsecond."""
    await create(hooked, run)
    await write(hooked, run, "Failed")
    [row] = await deliveries(hooked.database)
    event = hook_events.read_event(row["id"], row["created"], row["event"])
    assert (event.timestamp, event.state.timestamp) == (NOW, NOW)
    assert (event.subject.flow_id, event.subject.flow_group_id) == (run.flow_id, run.flow_group_id)
    assert await cloud_hooks.delete_cloud_hook(hooked, cloud_hook_id=row["cloud_hook_id"])
