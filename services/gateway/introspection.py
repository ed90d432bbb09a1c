"""Turns questions about the schema (`__schema`, `__type`, root `__typename`) into answers. Called by app."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from graphql import ExecutionResult, GraphQLSchema, execute_sync, parse

from server_core.documents.cache import BoundedCache
from services.gateway.answer import Answer, failed
from services.gateway.refusal import INTERNAL
from services.gateway.split import Step

_ANSWERS = 64
_ANSWER_BYTES = 24_000_000
_LARGEST_ANSWER = 12_000_000


class Introspector:
    """Answers from the stitched schema, and remembers: a full introspection takes half a second to compute."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._answers: BoundedCache[tuple[str, str], Answer] = BoundedCache(
            entries=_ANSWERS, weight=_ANSWER_BYTES, heaviest=_LARGEST_ANSWER
        )

    async def answer(self, step: Step, variables: Mapping[str, Any]) -> Answer:
        """Answer a step that belongs to the gateway; variables were checked before."""
        given = {name: variables[name] for name in sorted(step.variables) if name in variables}
        key = (step.text, json.dumps(given))
        known = self._answers.get(key)
        if known is not None:
            return known
        if all(field.name == "__typename" for field in step.fields):
            result = self._execute(step.text, given)
        else:
            result = await asyncio.to_thread(self._execute, step.text, given)
        if result.errors or result.data is None:
            return failed(step.fields, "; ".join(error.message for error in result.errors or ()), INTERNAL)
        answer = Answer(values={name: json.dumps(value) for name, value in result.data.items()})
        self._answers.put(key, answer, sum(map(len, answer.values.values())) + len(step.text) + len(key[1]))
        return answer

    def _execute(self, text: str, variables: dict[str, Any]) -> ExecutionResult:
        return execute_sync(self._schema, parse(text), variable_values=variables)
