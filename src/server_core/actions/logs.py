"""The verb that stores log lines (actions.md §2.9). Called by the GraphQL service and by the loops.

A client keeps a batch that was refused and sends it again every five seconds until it exits, so that everything after
it is lost too. Nothing a line holds may therefore refuse its batch: what can be stored is, the rest is dropped. And a
batch whose answer was lost comes again: a line is stored once however often it is sent (rules.logs).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

from server_core.actions.context import ActionContext
from server_core.actions.life import note_life, overdue_before
from server_core.db.session import WriteSession
from server_core.errors import InvalidInput
from server_core.rules.logs import line_id, random_line_id
from server_core.storable import storable_json, storable_text
from server_core.store import logs as store

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
MESSAGE_LIMIT: Final = 1_000_000
"""Characters of a message that are kept; the client cuts at the same length."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogEntry:
    """A line of a flow run's log, as the server writes one itself.

    Attributes:
        flow_run_id: whose line it is.
        task_run_id: the task run it came from, if any.
        timestamp: None: now.
        message: any text.
        name: of the logger.
        level: one of LEVELS; None: INFO.
        info: a JSON object, or None.
    """

    flow_run_id: UUID
    task_run_id: UUID | None = None
    timestamp: datetime | None = None
    message: str | None = None
    name: str | None = None
    level: str | None = None
    info: Any = None


class LogLine(Protocol):
    """What is read of a line, whoever made it: see LogEntry."""

    @property
    def flow_run_id(self) -> UUID: ...
    @property
    def task_run_id(self) -> UUID | None: ...
    @property
    def timestamp(self) -> datetime | None: ...
    @property
    def message(self) -> str | None: ...
    @property
    def name(self) -> str | None: ...
    @property
    def level(self) -> str | None: ...
    @property
    def info(self) -> Any: ...


async def write_run_logs(context: ActionContext, *, logs: Sequence[LogLine]) -> bool:
    """Store log lines; always True. Lines of unknown runs and with a bad `info` are dropped, and those stored before.

    Raises:
        InvalidInput: a level is not one of LEVELS; nothing is stored.
    """
    async with context.database.autocommit() as session:
        overdue = await write_logs_in(session, context, logs, overdue_before=overdue_before(context))
    await note_life(context, overdue)
    return True


async def write_logs_in(
    session: WriteSession, context: ActionContext, logs: Sequence[LogLine], *, overdue_before: datetime | None = None
) -> list[UUID]:
    """Store log lines inside the caller's transaction: one statement.

    Args:
        overdue_before: a client reports, which shows that its flow runs live: a heartbeat is overdue if older.

    Returns:
        The flow runs whose heartbeat is overdue.

    Raises:
        InvalidInput: a level is not one of LEVELS.
    """
    now = context.clock()
    places: dict[tuple[int, datetime], int] = {}
    lines = [line for line in (_line(entry, now, places) for entry in logs) if line is not None]
    return await store.insert_logs(session, logs=lines, overdue_before=overdue_before) if lines else []


def _line(entry: LogLine, now: datetime, places: dict[tuple[int, datetime], int]) -> store.NewLog | None:
    """Return a line as it is stored, or None if it cannot be; `places` counts the lines of a run at one time."""
    level = entry.level or "INFO"
    if level not in LEVELS:
        raise InvalidInput(f"{level!r} is not a log level; levels are: {', '.join(LEVELS)}.")
    info = entry.info
    if info is not None:
        try:
            text = storable_json(info)
        except InvalidInput:
            return None
        if not isinstance(info, dict):
            return None
        info = text
    timestamp = entry.timestamp or now
    name = None if entry.name is None else storable_text(entry.name)
    message = None if entry.message is None else storable_text(entry.message[:MESSAGE_LIMIT])
    flow_run_id, task_run_id = entry.flow_run_id, entry.task_run_id
    moment = (flow_run_id.int, timestamp)
    place = places.get(moment, 0)
    places[moment] = place + 1
    if entry.timestamp is None:
        identity = random_line_id(place)
    else:
        identity = line_id(
            flow_run_id=flow_run_id,
            task_run_id=task_run_id,
            timestamp=timestamp,
            texts=(name, level, message, info),
            place=place,
        )
    return store.NewLog(identity, flow_run_id, task_run_id, timestamp, name, level, message, info)
