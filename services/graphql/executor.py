"""Runs the root fields of a mutation one after the other, however many there are; or tells what became of fields that
have been run. Used by app.

graphql-core chains them into one awaitable that nests as deep as there are fields, so that some 900 end in a
RecursionError; the UI sends as many aliased copies of a mutation as rows are selected.
"""

from collections.abc import Mapping
from typing import Any

from graphql import GraphQLObjectType, MiddlewareManager, Undefined
from graphql.execution import Executor
from graphql.execution.collect_fields import GroupedFieldSet
from graphql.pyutils import AwaitableOrValue, Path


class SerialExecutor(Executor[Any]):
    """graphql-core's executor with a loop where it has a chain."""

    def execute_fields_serially(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Path | None,
        grouped_field_set: GroupedFieldSet,
        position_context: Any,
    ) -> AwaitableOrValue[dict[str, Any]]:
        """Return the results by response key; each field begins when the one before it is done."""

        async def results() -> dict[str, Any]:
            found: dict[str, Any] = {}
            for key, nodes in grouped_field_set.items():
                place = Path(path, key, parent_type.name)
                result = self.execute_field(parent_type, source_value, nodes, place, position_context)
                if result is not Undefined:
                    found[key] = await result if self.is_awaitable(result) else result
            return found

        return results()


def replay(outcomes: Mapping[str, Any]) -> MiddlewareManager:
    """Return what has root fields not resolved, but answered with what became of them.

    Args:
        outcomes: by key of the answer: a result, or the exception that was raised.
    """

    def outcome(resolve: Any, source: Any, info: Any, **arguments: Any) -> Any:
        if info.path.prev is not None:
            return resolve(source, info, **arguments)
        result = outcomes[info.path.key]
        if isinstance(result, Exception):
            raise result
        return result

    return MiddlewareManager(outcome)
