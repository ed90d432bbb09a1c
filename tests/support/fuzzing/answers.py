"""Says what is wrong with an answer: its status, its shape, or what it gives away (actions.md §0.3, data-api.md §3.3).

Pure, but for the reading of HTTP answers from bytes.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import httptools

STATUSES = frozenset({200, 204, 400, 405, 413, 414, 415, 426, 431})
INTERNALS = re.compile(
    r"Traceback|File \\?\"|\basyncpg\b|sqlalchemy|site-packages|graphql\.(error|language|type)|object at 0x"
    r"|\bincident\b|internal error|NoneType|AttributeError|KeyError|TypeError|RecursionError|<class '"
)


@dataclass(kw_only=True)
class Answer:
    """One HTTP answer.

    Attributes:
        status: its status.
        media: its content type.
        body: its body.
    """

    status: int = 0
    media: str = ""
    body: bytes = b""


@dataclass
class Reader:
    """Reads the answers out of what a server wrote to one connection.

    Attributes:
        answers: those that are complete.
    """

    answers: list[Answer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._begin()

    def feed(self, data: bytes) -> None:
        """Read some more; what is no HTTP raises httptools.HttpParserError."""
        self._parser.feed_data(data)

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._now = Answer()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-type":
            self._now.media = value.decode()

    def on_body(self, body: bytes) -> None:
        self._now.body += body

    def on_message_complete(self) -> None:
        self._now.status = self._parser.get_status_code()
        if self._now.status >= 200:
            self.answers.append(self._now)
        self._now = Answer()


def wrong(answer: Answer) -> str | None:
    """Say what is wrong with an HTTP answer of the gateway, or None."""
    if answer.status not in STATUSES:
        return f"status {answer.status}"
    if not answer.media.startswith("application/json"):
        text = answer.body.decode(errors="replace")
        if answer.media.startswith("text/html"):
            return None if answer.status == 200 else "a page with an error"
        if len(text) > 1_000 or INTERNALS.search(text):
            return f"a text that nobody documented: {text[:200]!r}"
        return None
    try:
        document = json.loads(answer.body)
    except ValueError:
        return f"no JSON: {answer.body[:100]!r}"
    if isinstance(document, list):
        return next(filter(None, map(_wrong_result, document)), None)
    if answer.status == 200 and "status" in document:
        return None  # /health, /ready
    problem = _wrong_result(document)
    if problem is None and "PERSISTED_QUERY_NOT_SUPPORTED" in str(document.get("errors")):
        return None  # 200: that is how clients are told to send the document (data-api.md §3.1)
    if problem is None and (answer.status == 200) is not ("data" in document):
        return f"status {answer.status} with {list(document)}"
    return problem


def _wrong_result(document: Any) -> str | None:
    if not isinstance(document, dict) or not document or set(document) - {"data", "errors"}:
        return f"not an answer: {str(document)[:200]}"
    if "data" in document and not isinstance(document["data"], dict | None):
        return "data is no object"
    if "errors" not in document:
        return None if document["data"] is not None else "neither data nor errors"
    errors = document["errors"]
    if not isinstance(errors, list) or not errors:
        return "errors is not a list of some"
    return next(filter(None, map(_wrong_error, errors)), None)


def _wrong_error(error: Any) -> str | None:
    if not isinstance(error, dict) or set(error) - {"message", "locations", "path", "extensions"}:
        return f"not an error: {str(error)[:200]}"
    if not isinstance(error.get("message"), str) or not error["message"]:
        return "an error without a message"
    if not isinstance(error.get("extensions"), dict) or not isinstance(error["extensions"].get("code"), str):
        return f"an error without a code: {str(error)[:200]}"
    if "API_ERROR" in error["extensions"]["code"]:
        return f"an error on which clients would send again: {error['message']}"
    for place in error.get("locations", []):
        if set(place) != {"line", "column"} or min(place.values()) < 1:
            return f"no place in a document: {place}"
    if not all(isinstance(step, str | int) for step in error.get("path", [])):
        return f"not a path: {error['path']}"
    found = INTERNALS.search(json.dumps(error))
    return f"internals: {found[0]!r} in {error['message'][:300]!r}" if found else None
