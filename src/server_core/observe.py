"""What happened, for operators: log lines on stderr, and which version says so. Called by every service.

As JSON, one object per line, or for a person at a terminal. A line says what its activity is about (activity): the
request's id, the runs it names.
"""

import json
import logging
import os
import sys
import traceback
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import orjson

from server_core.activity import current
from server_core.config import LoggingSettings

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}
_COLOURS = {"WARNING": "33", "ERROR": "31", "CRITICAL": "31;1", "DEBUG": "2"}


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a record says besides its message: its activity's facts, and what was passed as `extra`."""
    return {**current(), **{key: value for key, value in vars(record).items() if key not in _STANDARD}}


class JsonFormatter(logging.Formatter):
    """Turns a log record into one JSON line; the facts become further keys."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line: dict[str, Any] = {
            "severity": record.levelname,
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "name": record.name,
            "message": record.getMessage(),
        }
        line.update((key, value) for key, value in facts_of(record).items() if key not in line)
        if record.exc_info:
            line["exc_info"] = "".join(traceback.format_exception(*record.exc_info))
        try:
            return orjson.dumps(line, default=str).decode()
        except TypeError:  # a lone surrogate that a client sent, or an integer beyond 64 bits
            return json.dumps(line, default=str)


class ConsoleFormatter(logging.Formatter):
    """Turns a log record into a line for a person: time, level, message, then the facts.

    Args:
        colour: mark what is above INFO with colours.
    """

    def __init__(self, *, colour: bool = False) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, and the stack trace of a defect below it."""
        level = f"{record.levelname:<8}"
        if self._colour and record.levelname in _COLOURS:
            level = f"\x1b[{_COLOURS[record.levelname]}m{level}\x1b[0m"
        facts = "".join(f"  {key}={_plain(value)}" for key, value in facts_of(record).items())
        text = f"{self.formatTime(record, '%H:%M:%S')} {level} {_plain(record.getMessage())}{facts}"
        if record.exc_info:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        return text


def _plain(value: object) -> str:
    """Return a value as text that stays on its line and commands no terminal."""
    text = value if isinstance(value, str) else str(value)
    return text if text.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def configure_logging(settings: LoggingSettings) -> None:
    """Send every log record of this process to stderr.

    Args:
        settings: the least severe level, and which lines to write.
    """
    handler = logging.StreamHandler(sys.stderr)
    terminal = sys.stderr.isatty()
    json_lines = settings.format == "json" or (settings.format == "auto" and not terminal)
    colour = terminal and "NO_COLOR" not in os.environ
    handler.setFormatter(JsonFormatter() if json_lines else ConsoleFormatter(colour=colour))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for noisy in ("alembic", "asyncio", "httpcore", "httpx", "apscheduler", "tzlocal", "watchfiles"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    # A pool that cannot reach the database says so with a stack trace; db.session says the same in one line.
    logging.getLogger("asyncpg.pool").setLevel(max(logging.ERROR, root.level))


def server_version() -> str:
    """Return what the server calls its version: PREFECT_SERVER_VERSION, else that of the installed package."""
    return os.environ.get("PREFECT_SERVER_VERSION") or _package_version()


@cache
def _package_version() -> str:
    try:
        return version("prefect-server")
    except PackageNotFoundError:
        return "UNKNOWN"
