"""A plan → what its answer depends on: a live query is asked again when that changes. Called by request."""

from collections.abc import Iterator
from dataclasses import dataclass

from services.data.catalog.model import QualifiedName
from services.data.plan.tree import (
    AggregateQuery,
    And,
    ByAggregate,
    ByColumn,
    ByRelated,
    Condition,
    Exists,
    FromFunction,
    Nested,
    Nodes,
    Not,
    Or,
    OrderKey,
    Plan,
    Query,
    RowField,
    Rows,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reads:
    """What an answer depends on.

    Attributes:
        tables: the tables and views that the plan names.
        unknown: it depends on more than that: what a function reads, Postgres does not say.
    """

    tables: frozenset[QualifiedName]
    unknown: bool


def reads_of(plan: Plan) -> Reads:
    """Return what the answer to a plan depends on: rows selected, filtered by, ordered by, counted."""
    sources = [source for root in plan.roots for source in _of_query(root.query)]
    return Reads(
        tables=frozenset(source for source in sources if source is not None),
        unknown=any(source is None for source in sources),
    )


# Each walk yields the names of tables, and None for a function.


def _of_query(query: Query) -> Iterator[QualifiedName | None]:
    yield from _of_rows(query.rows)
    if not isinstance(query, AggregateQuery):
        yield from _of_fields(query.fields)
        return
    for field in query.fields:
        if isinstance(field, Nodes):
            yield from _of_fields(field.fields)


def _of_fields(fields: tuple[RowField, ...]) -> Iterator[QualifiedName | None]:
    for field in fields:
        if isinstance(field, Nested):
            yield from _of_query(field.query)


def _of_rows(rows: Rows) -> Iterator[QualifiedName | None]:
    yield None if isinstance(rows.source, FromFunction) else rows.source.name
    yield from _of_condition(rows.where)
    for order in rows.order:
        yield from _of_key(order.key)


def _of_condition(condition: Condition) -> Iterator[QualifiedName]:
    match condition:
        case And(items=items) | Or(items=items):
            for item in items:
                yield from _of_condition(item)
        case Not(item=item):
            yield from _of_condition(item)
        case Exists(name=name, where=where):
            yield name
            yield from _of_condition(where)


def _of_key(key: OrderKey) -> Iterator[QualifiedName]:
    match key:
        case ByRelated(name=name, key=inner):
            yield name
            yield from _of_key(inner)
        case ByAggregate(name=name):
            yield name
        case ByColumn():
            return
