"""What becomes of an event: it is delivered once, later if need be, or given up (actions.md §7.2, §7.3)."""

from datetime import timedelta

import pytest

from server_core.actions import cloud_hooks
from server_core.actions.context import ActionContext
from server_core.rules import hook_events
from tests.service.cloud_hooks.world import (
    NOW,
    TWILIO,
    Run,
    Time,
    Unplugged,
    another_run,
    another_worker,
    create,
    deliveries,
    statuses,
    tell,
    worker,
    write,
)
from tests.support.receiver import LeadsTo, Receiver
from tests.support.rows import execute


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


async def test_old_records_are_removed(hooked: ActionContext, run: Run, receiver: Receiver, time: Time) -> None:
    """Those that are over, after the retention; what waits stays for as long as it is tried."""
    await create(hooked, run)
    await tell(hooked, run, "Failed")
    time.pass_by(days=6)
    await create(hooked, run, type="PREFECT_MESSAGE", states=["Success"])
    await tell(hooked, run, "Success")
    receiver.status = 503
    await tell(hooked, run, "Failed")
    await worker(hooked).remove_old()
    assert await statuses(hooked.database) == ["DELIVERED", "DELIVERED", "WAITING"]
    time.pass_by(days=1)
    await worker(hooked).remove_old()
    assert await statuses(hooked.database) == ["DELIVERED", "WAITING"]
    time.pass_by(days=6)
    await worker(hooked).remove_old()
    assert await statuses(hooked.database) == ["WAITING"]


async def test_events_are_the_documented_ones(hooked: ActionContext, run: Run) -> None:
    """§7.3: what is read from the outbox is what was written, to the microsecond."""
    await create(hooked, run)
    await write(hooked, run, "Failed")
    [row] = await deliveries(hooked.database)
    event = hook_events.read_event(row["id"], row["created"], row["event"])
    assert (event.timestamp, event.state.timestamp) == (NOW, NOW)
    assert (event.subject.flow_id, event.subject.flow_group_id) == (run.flow_id, run.flow_group_id)
    assert await cloud_hooks.delete_cloud_hook(hooked, cloud_hook_id=row["cloud_hook_id"])
