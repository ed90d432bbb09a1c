"""What a resolver knows about its request: the actions' context and the `x-prefect*` headers. Built per request."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

import strawberry
from strawberry.dataloader import DataLoader

from server_core.actions.context import ActionContext
from server_core.actions.runs import MappedChildren, mapped_children
from server_core.errors import InvalidInput


@dataclass(frozen=True, kw_only=True)
class RequestContext:
    """One request's view of the world; a value of its own per request, so nothing leaks between concurrent ones.

    Attributes:
        actions: database, clock and settings for the verbs.
        headers: the `x-prefect*` headers, names in lower case (actions.md §8.1).
    """

    actions: ActionContext
    headers: Mapping[str, str]

    @cached_property
    def mapped_children(self) -> DataLoader[UUID, MappedChildren]:
        """Asks once for all fields of the request, of which the UI sends one per row of a table."""
        return DataLoader(load_fn=lambda ids: mapped_children(self.actions, task_run_ids=ids))

    @property
    def agent_id(self) -> UUID | None:
        """The agent that sent the request (`x-prefect-agent-id`), or None.

        Raises:
            InvalidInput: the header is not a UUID. Only verbs that use the agent ask for it (actions.md §2.8).
        """
        value = self.headers.get("x-prefect-agent-id")
        if not value:
            return None
        try:
            return UUID(value)
        except ValueError as error:
            raise InvalidInput(f"Could not parse UUID: invalid value {value[:100]!r} in X-PREFECT-AGENT-ID.") from error

    @property
    def core_version(self) -> str | None:
        """The version of the client library that sent the request (`x-prefect-core-version`), or None."""
        return self.headers.get("x-prefect-core-version") or None


ActionInfo = strawberry.Info[RequestContext, None]
"""The `info` argument of every resolver."""
