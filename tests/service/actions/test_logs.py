"""write_run_logs (actions.md §2.9): nothing a line holds may refuse its batch."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest

from server_core.actions.context import ActionContext
from server_core.actions.logs import MESSAGE_LIMIT, LogEntry, write_run_logs
from server_core.db.session import Database
from server_core.errors import InvalidInput
from tests.support.factories import Flow
from tests.support.recorder import recorded
from tests.support.rows import fetch_all, insert, make_flow, make_flow_run, task_runs_of

NOW = datetime(2022, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture
async def flow(database: Database) -> Flow:
    return await make_flow(database, tasks=1)


@pytest.fixture
async def run(database: Database, flow: Flow) -> UUID:
    return await make_flow_run(database, flow)


async def logs(database: Database) -> list[dict[str, Any]]:
    return await fetch_all(database, "SELECT * FROM log ORDER BY message")


async def test_defaults(context: ActionContext, database: Database, flow: Flow, run: UUID) -> None:
    context = replace(context, clock=lambda: NOW)
    assert await write_run_logs(context, logs=[LogEntry(flow_run_id=run)] * 2)
    for row in await logs(database):
        assert (row["level"], row["timestamp"], row["tenant_id"]) == ("INFO", NOW, flow.tenant_id)
        assert (row["flow_run_id"], row["task_run_id"]) == (run, None)
        assert (row["message"], row["name"], row["info"]) == (None, None, None)


async def test_what_is_given_is_stored(context: ActionContext, database: Database, run: UUID) -> None:
    """§10: many lines, each with its own values; a wrong level is named."""
    [task_run] = await task_runs_of(database, run)
    entries = [
        LogEntry(
            flow_run_id=run,
            task_run_id=task_run if n % 2 else None,
            timestamp=NOW + timedelta(seconds=n),
            message=f"{n:02}",
            name=f"name-{n}",
            level=["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"][n % 5],
            info={"n": n} if n % 3 else None,
        )
        for n in range(14)
    ]
    assert await write_run_logs(context, logs=entries)
    stored = await logs(database)
    assert len(stored) == 14
    for entry, row in zip(entries, stored, strict=True):
        for key in ("flow_run_id", "task_run_id", "timestamp", "message", "name", "level", "info"):
            assert row[key] == getattr(entry, key)


async def test_a_batch_is_one_statement(context: ActionContext, database: Database, run: UUID) -> None:
    entries = [LogEntry(flow_run_id=run, message=str(n)) for n in range(500)]
    async with recorded(database):
        await write_run_logs(context, logs=entries[:1])  # asyncpg looks up array types once per connection
    async with recorded(database) as recorder:
        await write_run_logs(context, logs=entries)
    assert len(recorder.sent) == 1
    assert len(await logs(database)) == 501


async def test_orphans_are_dropped_and_the_rest_is_stored(
    context: ActionContext, database: Database, run: UUID
) -> None:
    [task_run] = await task_runs_of(database, run)
    entries = [
        LogEntry(flow_run_id=uuid4(), message="a"),
        LogEntry(flow_run_id=run, message="b"),
        LogEntry(flow_run_id=run, task_run_id=uuid4(), message="c"),
        LogEntry(flow_run_id=run, task_run_id=task_run, message="d"),
    ]
    assert await write_run_logs(context, logs=entries)
    assert [row["message"] for row in await logs(database)] == ["b", "d"]
    assert await write_run_logs(context, logs=entries[:1])
    assert await write_run_logs(context, logs=[])


@pytest.mark.parametrize("info", ["text", [1], 5, True, {"x": float("nan")}])
async def test_lines_with_a_bad_info_are_skipped(
    context: ActionContext, database: Database, run: UUID, info: Any
) -> None:
    entries = [LogEntry(flow_run_id=run, message="a", info=info), LogEntry(flow_run_id=run, message="b")]
    assert await write_run_logs(context, logs=entries)
    assert [row["message"] for row in await logs(database)] == ["b"]


async def test_characters_that_cannot_be_stored(context: ActionContext, database: Database, run: UUID) -> None:
    entry = LogEntry(flow_run_id=run, message="a\x00b\ud800c😀", name="n\x00", info={"k": "\x00\udfff"})
    assert await write_run_logs(context, logs=[entry])
    [row] = await logs(database)
    assert (row["message"], row["name"], row["info"]) == ("a\ufffdb\ufffdc😀", "n\ufffd", {"k": "\ufffd\ufffd"})


async def test_long_messages_are_cut(context: ActionContext, database: Database, run: UUID) -> None:
    assert await write_run_logs(context, logs=[LogEntry(flow_run_id=run, message="x" * (MESSAGE_LIMIT + 1))])
    [row] = await logs(database)
    assert len(row["message"]) == MESSAGE_LIMIT


async def test_a_level_that_is_none(context: ActionContext, database: Database, run: UUID) -> None:
    with pytest.raises(InvalidInput, match="LOUD"):
        await write_run_logs(context, logs=[LogEntry(flow_run_id=run), LogEntry(flow_run_id=run, level="LOUD")])
    assert await logs(database) == []


def batch(run: UUID, *messages: str, at: datetime = NOW) -> list[LogEntry]:
    """Return lines of a run, all of one time."""
    return [LogEntry(flow_run_id=run, timestamp=at, message=message) for message in messages]


async def in_reading_order(database: Database) -> list[str]:
    """Return the messages as clients read them, and within one time by the key of the table."""
    return [row["message"] for row in await fetch_all(database, 'SELECT message FROM log ORDER BY "timestamp", id')]


async def test_a_batch_that_comes_again_is_stored_once(context: ActionContext, database: Database, run: UUID) -> None:
    """§2.9: the client sends what was not answered again, with what came after it."""
    await write_run_logs(context, logs=batch(run, "a", "b", "a"))
    await write_run_logs(context, logs=batch(run, "a", "b", "a"))
    assert await in_reading_order(database) == ["a", "b", "a"]
    await write_run_logs(context, logs=batch(run, "a", "b", "a", "a", "c"))
    assert await in_reading_order(database) == ["a", "b", "a", "a", "c"]
    paris = NOW.astimezone(timezone(timedelta(hours=1)))
    await write_run_logs(context, logs=batch(run, "a", "b", at=paris))
    assert await in_reading_order(database) == ["a", "b", "a", "a", "c"]


@pytest.mark.parametrize(
    "other",
    [
        {"message": "b"},
        {"message": None},
        {"name": "n"},
        {"name": ""},
        {"level": "ERROR"},
        {"info": {}},
        {"info": {"k": 1}},
        {"timestamp": NOW + timedelta(microseconds=1)},
    ],
)
async def test_lines_that_differ_are_both_stored(
    context: ActionContext, database: Database, run: UUID, other: dict[str, Any]
) -> None:
    entry = LogEntry(flow_run_id=run, timestamp=NOW, message="a")
    await write_run_logs(context, logs=[entry])
    await write_run_logs(context, logs=[replace(entry, **other)])
    assert len(await logs(database)) == 2


async def test_a_line_without_a_time_is_always_new(context: ActionContext, database: Database, run: UUID) -> None:
    context = replace(context, clock=lambda: NOW)
    entries = [LogEntry(flow_run_id=run, message=message) for message in "zyxw"]
    await write_run_logs(context, logs=entries)
    assert await in_reading_order(database) == ["z", "y", "x", "w"]
    await write_run_logs(context, logs=entries)
    assert len(await logs(database)) == 8


async def test_one_time_keeps_the_order_of_writing(context: ActionContext, database: Database, run: UUID) -> None:
    messages = [str(n) for n in range(700)]
    await write_run_logs(context, logs=batch(run, *messages))
    assert await in_reading_order(database) == messages


async def test_the_same_batch_from_many_writers_at_once(context: ActionContext, database: Database, flow: Flow) -> None:
    """A client's HTTP layer sends a batch again while the first may still be at work; batches of others come too."""
    runs = [await make_flow_run(database, flow) for _ in range(3)]
    lines = [
        LogEntry(flow_run_id=runs[n % 3], timestamp=NOW + timedelta(seconds=n // 9), message=str(n % 5))
        for n in range(300)
    ]
    writers = [lines, lines, lines[:200], lines[:100], lines, lines[:250], lines[:1], lines]
    assert await asyncio.gather(*(write_run_logs(context, logs=writer) for writer in writers)) == [True] * 8
    stored = Counter((row["flow_run_id"], row["timestamp"], row["message"]) for row in await logs(database))
    assert stored == Counter((line.flow_run_id, line.timestamp, line.message) for line in lines)


async def test_a_run_that_came_late_gets_its_lines_with_the_batch_sent_again(
    context: ActionContext, database: Database, flow: Flow, run: UUID
) -> None:
    """What was dropped the first time is not taken for stored."""
    late = uuid4()
    entries = [*batch(run, "a"), *batch(late, "b")]
    await write_run_logs(context, logs=entries)
    await insert(database, "flow_run", id=late, flow_id=flow.id, tenant_id=flow.tenant_id)
    await write_run_logs(context, logs=entries)
    assert sorted(await in_reading_order(database)) == ["a", "b"]
