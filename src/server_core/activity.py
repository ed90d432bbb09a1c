"""What a piece of work is about, so that every log line written during it says so. Bottom shelf, pure.

A request's activity begins at the door (access) and follows its tasks; rooms that learn more about it (a run's id, an
operation's name) note that, and formatters read it. Code outside any activity notes nothing.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from itertools import count
from typing import Any

_ID = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}", re.ASCII)
_PROCESS = os.urandom(4).hex()
_numbers = count(1)
"""Of the ids that this process gives: one that is random costs a system call, and tells no more."""
_MOST_RUNS = 5
_RUN_KEYS = ("flow_run_id", "task_run_id", "flow_id", "flow_group_id")

_VARIABLES = "variables"
_SENT_ON = "sent on"
_KEPT = frozenset({_VARIABLES, _SENT_ON})
"""What an activity holds that is no fact of its own."""
_current: ContextVar[dict[str, Any] | None] = ContextVar("activity", default=None)


def request_id(given: str | None = None) -> str:
    """Return the id of a request: the one that came with it, if it is fit to be logged and sent on, else a new one.

    Args:
        given: the value of its `X-Request-ID` header.
    """
    return given if given is not None and _ID.fullmatch(given) else f"{_PROCESS}{next(_numbers):08x}"


@contextmanager
def activity(**facts: Any) -> Iterator[dict[str, Any]]:
    """Begin an activity: what is logged inside the block, by any task begun in it, carries these facts.

    Yields:
        The facts, with those noted since.
    """
    begun = dict(facts)
    token = begin(begun)
    try:
        yield begun
    finally:
        end(token)


@contextmanager
def branch() -> Iterator[None]:
    """Begin an activity that knows what the one under way knows, its trace too, and keeps to itself what is noted."""
    token = begin({name: value for name, value in (_current.get() or {}).items() if name != _VARIABLES})
    try:
        yield
    finally:
        end(token)


def begin(facts: dict[str, Any]) -> Token[dict[str, Any] | None]:
    """Begin an activity; `end` takes what is returned. For where every microsecond counts; else `activity`."""
    return _current.set(facts)


def end(token: Token[dict[str, Any] | None]) -> None:
    """End the activity that `begin` began."""
    _current.reset(token)


def note(**facts: Any) -> None:
    """Add facts to the activity under way, if there is one."""
    under_way = _current.get()
    if under_way is not None:
        under_way.update(facts)


def note_sent_on(headers: Mapping[str, str]) -> None:
    """Note headers that the services shall get to which the request under way is passed on."""
    under_way = _current.get()
    if under_way is not None:
        under_way[_SENT_ON] = {**under_way.get(_SENT_ON, {}), **headers}


def sent_on() -> dict[str, str]:
    """Return the headers by which the services that a request is passed on to know it again: its id, its place in a
    trace. Empty outside any.
    """
    under_way = _current.get()
    if under_way is None or "request_id" not in under_way:
        return {}
    return {"x-request-id": under_way["request_id"], **under_way.get(_SENT_ON, {})}


def note_variables(variables: Mapping[str, Any]) -> None:
    """Remember the variables of the operation under way: should a line be written, it tells the runs they name."""
    under_way = _current.get()
    if under_way is not None:
        under_way[_VARIABLES] = variables


def current() -> Mapping[str, Any]:
    """Return the facts of the activity under way, with the runs it names; empty outside any."""
    under_way = _current.get()
    if under_way is None:
        return {}
    facts = {name: value for name, value in under_way.items() if name not in _KEPT}
    return run_ids(under_way.get(_VARIABLES, {})) | facts


def run_ids(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Find the runs that the variables of a request name, for its log lines.

    Clients send `input: {flow_run_id}`, or a list of such objects as `states` or `logs` (client-operations.md).

    Returns:
        Per kind of id the value, or several as a list of at most five.
    """
    found: dict[str, list[str]] = {}
    documents = [variables, *_members(variables)]
    for document in documents:
        for key in _RUN_KEYS:
            value = document.get(key)
            if isinstance(value, str) and value not in found.setdefault(key, []) and len(found[key]) < _MOST_RUNS:
                found[key].append(value[:64])
    return {key: values[0] if len(values) == 1 else values for key, values in found.items() if values}


def _members(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the objects one and two steps below, of a list its first few."""
    for value in document.values():
        if isinstance(value, dict):
            yield value
            for inner in value.values():
                if isinstance(inner, list):
                    yield from (each for each in inner[:_MOST_RUNS] if isinstance(each, dict))
        elif isinstance(value, list):
            yield from (each for each in value[:_MOST_RUNS] if isinstance(each, dict))
