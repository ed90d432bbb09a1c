"""Any text or JSON document a client sends → what Postgres can hold. Called by states and by the verbs that must not
lose a whole entry over one odd character.

Postgres stores neither U+0000 nor lone surrogates, in text or in jsonb; clients do send them (raw subprocess output in
a log line, a binary string in an exception's message). Both become U+FFFD, the replacement character.
"""

import json
import re
from typing import Any, Final

from server_core.errors import InvalidInput

MAX_SECONDS: Final = 1_000_000_000
"""The longest time that a setting may say: 31 years. What is subtracted from now stays a time of this era."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SUSPECT = re.compile(r"\\u(?:0000|d[89a-f])")
_REPLACEMENT = "\ufffd"
_SIZEOF_ASCII_STR = 49
_encode = json.JSONEncoder(allow_nan=False, check_circular=False).encode
"""What json.dumps does, without making an encoder each time; what holds itself is nested too deeply."""


def storable_text(text: str) -> str:
    """Return the text with each character that Postgres cannot hold replaced by U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub(_REPLACEMENT, text)


def storable_json(value: Any) -> str:
    """Return the value as ASCII JSON text that jsonb accepts, unstorable characters replaced.

    Raises:
        InvalidInput: it holds NaN or Infinity, or is nested too deeply.
    """
    try:
        text = _encode(value)
        if _SUSPECT.search(text):
            text = _encode(_clean(value))
    except ValueError as error:
        raise InvalidInput("NaN and Infinity are not JSON.") from error
    except RecursionError as error:
        raise InvalidInput("The JSON document is nested too deeply.") from error
    return text


def exact_json(value: Any) -> str:
    """Return the value as ASCII JSON text that jsonb accepts, unchanged: for what the server may not alter.

    Raises:
        InvalidInput: it holds U+0000, lone surrogates, NaN or Infinity, or is nested too deeply.
    """
    try:
        text = _encode(value)
    except ValueError as error:
        raise InvalidInput("NaN and Infinity are not JSON.") from error
    except RecursionError as error:
        raise InvalidInput("The JSON document is nested too deeply.") from error
    if _SUSPECT.search(text) and storable_json(value) != text:
        raise InvalidInput("Text with the character U+0000 or with lone surrogates cannot be stored.")
    return text


def payload_size(ascii_json: str) -> int:
    """Return the size of a JSON text as the legacy limits count it (actions.md §2.12, §3.2)."""
    return _SIZEOF_ASCII_STR + len(ascii_json)


def _clean(value: Any) -> Any:
    match value:
        case str():
            return storable_text(value)
        case dict():
            return {storable_text(str(key)): _clean(member) for key, member in value.items()}
        case list() | tuple():
            return [_clean(member) for member in value]
    return value
