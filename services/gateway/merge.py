"""Turns the answers of several upstreams into one body, in the order of the document. Called by app; pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from services.gateway.answer import Answer
from services.gateway.split import Root


def merge(fields: Sequence[Root], answers: Sequence[Answer]) -> bytes:
    """Write the body that answers an operation.

    Args:
        fields: the keys of the answer in the order of the document.
        answers: what the upstreams said about them; a key that nobody mentions was left out by a directive.

    Returns:
        `errors` (only if there are any), then `data`: null if a field that may not be null is (data-api.md §3.3).
    """
    values: dict[str, str] = {}
    errors: dict[str, Mapping[str, Any]] = {}
    for answer in answers:
        values |= answer.values
        errors |= answer.errors
    if any(not each.nullable and values.get(each.key) == "null" for each in fields):
        data = "null"
    else:
        data = "{" + ",".join(f'"{each.key}":{values[each.key]}' for each in fields if each.key in values) + "}"
    if not errors:
        return f'{{"data":{data}}}'.encode()
    listed = json.dumps([errors[each.key] for each in fields if each.key in errors])
    return f'{{"errors":{listed},"data":{data}}}'.encode()
