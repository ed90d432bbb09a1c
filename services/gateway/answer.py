"""Turns an upstream's response into what it says about each key of the client's answer. Called by app; pure.

Values stay JSON text: what an upstream wrote goes to the client digit by digit. Errors get the client's aliases and
places (data-api.md §3.3).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from server_core.errors import OutcomeUnknown, Unavailable
from server_core.wire import GraphQLResponse
from services.gateway.refusal import INTERNAL
from services.gateway.split import RootField

_SPACE = re.compile(r"[ \t\r\n]*")
_decoder = json.JSONDecoder()


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What one upstream said.

    Attributes:
        values: JSON text by key.
        errors: error entries by key, already in the client's terms.
        refused: the upstream failed the call as a whole and did not say for which key.
        codes: the codes of its errors.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    refused: bool = False
    codes: frozenset[str] = frozenset()


def is_plain(response: GraphQLResponse) -> bool:
    """Tell, without parsing it, that a response holds data and no errors and can go to the client as it is."""
    body = response.body
    # From the end the search takes half as long.
    return response.plain or (response.status == 200 and body.startswith(b'{"data":{') and body.rfind(b'"errors"') < 0)


def failed(fields: Sequence[RootField], message: str, code: str) -> Answer:
    """Return the answer of an upstream that gave none: every key is null, with one error each."""
    error = {"message": message, "extensions": {"code": code}}
    return Answer(
        values={each.key: "null" for each in fields},
        errors={each.key: _entry(each, [error]) for each in fields},
        codes=frozenset({code}),
    )


def read(fields: Sequence[RootField], response: GraphQLResponse, who: str, *, inviting: str | None = None) -> Answer:
    """Read a response that is not plain.

    Args:
        fields: the keys that were asked for.
        response: what came back.
        who: the upstream, for messages.
        inviting: a code that clients are told as API_ERROR, so that they send a query again.

    Returns:
        The answer; a body that is not GraphQL fails every key.
    """
    try:
        errors, values = _parsed(response.body.decode())
    except (ValueError, RecursionError):
        message = f"The {who} service gave an answer that is not GraphQL (HTTP {response.status})."
        return failed(fields, message, INTERNAL)
    if not errors:
        if values is None:
            return failed(fields, f"The {who} service gave an answer without data (HTTP {response.status}).", INTERNAL)
        return Answer(values=values)
    if inviting is not None:
        errors = [_renamed(error, inviting) for error in errors]
    return _blamed(fields, errors, values)


def _renamed(error: Mapping[str, Any], inviting: str) -> Mapping[str, Any]:
    extensions = _extensions(error)
    if extensions.get("code") != inviting:
        return error
    return {**error, "extensions": {**extensions, "code": Unavailable.code}}


def without_invitation(answers: Sequence[Answer]) -> list[Answer]:
    """Return the answers to the calls of one mutation, none of which makes a client send it again if any was made.

    A client sends the document again as a whole wherever it reads API_ERROR (actions.md §0.3), also what was committed.
    Nothing changes if all that was asked for failed in that way: then nothing was carried out, or it may be repeated.
    """
    made = any(
        value != "null" or _code(answer.errors.get(key)) != Unavailable.code
        for answer in answers
        for key, value in answer.values.items()
    )
    if not made:
        return list(answers)
    return [
        replace(answer, errors={key: _uninviting(error) for key, error in answer.errors.items()}) for answer in answers
    ]


def _code(error: Mapping[str, Any] | None) -> object:
    return None if error is None else _extensions(error).get("code")


def _uninviting(error: Mapping[str, Any]) -> Mapping[str, Any]:
    if Unavailable.code not in json.dumps(error):
        return error
    # As a code it says what happened; anywhere else it came from what the client sent.
    plain = json.dumps(error).replace(Unavailable.code, "API error")
    extensions = {**json.loads(plain)["extensions"]}
    if _code(error) == Unavailable.code:
        extensions["code"] = OutcomeUnknown.code
    return {**json.loads(plain), "path": error["path"], "extensions": extensions}


def _blamed(
    fields: Sequence[RootField], errors: Sequence[Mapping[str, Any]], values: Mapping[str, str] | None
) -> Answer:
    """Give every error to the key it belongs to; one that names none belongs to all that failed."""
    keys = {each.key for each in fields}
    by_key: dict[str, list[Mapping[str, Any]]] = {}
    loose = []
    for error in errors:
        path = error.get("path")
        if isinstance(path, list) and path and path[0] in keys:
            by_key.setdefault(path[0], []).append(error)
        else:
            loose.append(error)
    known = dict(values) if values is not None else dict.fromkeys(keys, "null")
    if loose:
        silent = [each.key for each in fields if known.get(each.key) == "null" and each.key not in by_key]
        for key in silent or [each.key for each in fields][:1]:
            by_key.setdefault(key, []).extend(loose)
    return Answer(
        values=known,
        errors={each.key: _entry(each, by_key[each.key]) for each in fields if each.key in by_key},
        refused=bool(loose) and values is None,
        codes=frozenset(str(_extensions(error).get("code")) for error in errors),
    )


def _entry(root: RootField, errors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Make the one entry of a key: the upstream's error, or all its messages joined (data-api.md §3.3)."""
    message = "\n".join(str(error.get("message") or "The request failed.") for error in errors)
    extensions = dict(_extensions(errors[0])) if len(errors) == 1 else {}
    path = errors[0].get("path") if len(errors) == 1 else None
    extensions["code"] = extensions.get("code") or INTERNAL
    extensions["exception"] = {"message": message}
    return {
        "message": message,
        "locations": [{"line": root.line, "column": root.column}],
        "path": path if isinstance(path, list) and path[:1] == [root.key] else [root.key],
        "extensions": extensions,
    }


def _extensions(error: Mapping[str, Any]) -> Mapping[str, Any]:
    extensions = error.get("extensions")
    return extensions if isinstance(extensions, dict) else {}


def _parsed(text: str) -> tuple[list[Mapping[str, Any]], dict[str, str] | None]:
    """Take a body apart: its errors decoded, the members of its data as text (None: there is no data).

    Raises:
        ValueError: it is not a JSON object of that form.
    """
    errors: object = None
    values: dict[str, str] | None = None
    for name, start, end in _members(text):
        if name == "errors":
            errors = json.loads(text[start:end])
        elif name == "data" and text[start] == "{":
            data = text[start:end]
            values = {key: data[first:last] for key, first, last in _members(data)}
    if errors is None:
        errors = []
    if not isinstance(errors, list) or not all(isinstance(error, dict) for error in errors):
        raise ValueError("errors is not a list of objects")
    return errors, values


def _members(text: str) -> list[tuple[str, int, int]]:
    """Find the members of a JSON object: name, and where the value starts and ends."""
    found = []
    at = _skip(text, 0, "{")
    if text[at : at + 1] == "}":
        end = at + 1
    else:
        while True:
            name, at = _decoder.raw_decode(text, at)
            if not isinstance(name, str):
                raise ValueError("a name is not a string")
            start = _skip(text, at, ":")
            _, at = _decoder.raw_decode(text, start)
            found.append((name, start, at))
            at = _space(text, at)
            if text[at : at + 1] != ",":
                break
            at = _space(text, at + 1)
        end = _skip(text, at, "}")
    if text[end:].strip():
        raise ValueError("text after the object")
    return found


def _space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _skip(text: str, at: int, mark: str) -> int:
    at = _space(text, at)
    if text[at : at + 1] != mark:
        raise ValueError(f"{mark} expected")
    return _space(text, at + 1)
