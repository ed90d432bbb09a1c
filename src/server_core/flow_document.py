"""What a registered flow consists of, as values: made by rules.flows from a document, stored by store.flows."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A row of table task, and the entry of the document it came from.

    Attributes:
        id: the id the document gives, or None for a fresh one.
        entry: the task as the client sent it.
    """

    id: UUID | None
    slug: str
    name: str | None
    type: str | None
    max_retries: int
    retry_delay: timedelta | None
    tags: list[Any]
    trigger: str | None
    auto_generated: bool
    cache_key: str | None
    entry: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """A row of table edge, its tasks named by slug."""

    upstream: str
    downstream: str
    key: str | None
    mapped: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Flow:
    """What the columns of table flow, and the rows of task and edge, are filled with.

    Attributes:
        document: the serialized flow as the client sent it.
    """

    name: str
    core_version: str | None
    parameters: list[dict[str, Any]]
    run_config: dict[str, Any] | None
    environment: dict[str, Any] | None
    storage: dict[str, Any] | None
    schedule: dict[str, Any] | None
    tasks: list[Task]
    edges: list[Edge]
    document: dict[str, Any]
