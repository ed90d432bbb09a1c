"""Counts of the same rows under different filters → one scan for all of them. Used by queries and statement.

A dashboard asks for the runs in each of seventeen states: as subqueries that would be seventeen scans. What all filters
have in common limits the scan, together with the OR of the rest (so that an index on the rest still serves), unless
they are many kinds of related rows; each count then takes its own rest as FILTER.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from services.data.plan.tree import (
    TRUE,
    AggregateQuery,
    And,
    Compare,
    Condition,
    Count,
    Exists,
    FromTable,
    IsNull,
    Join,
    Not,
    Or,
    Query,
    Totals,
    Typename,
)
from services.data.plan.values import Variable
from services.data.sql.aliases import Aliases
from services.data.sql.conditions import condition_sql
from services.data.sql.fragment import Fragment, identifier, sql
from services.data.sql.rows import select_sql, windowed
from services.data.sql.sums import Sums

_FEWEST: Final = 2
_FEW: Final = 3
"""Who counts the related rows of more kinds than this counts most of them: looking for each kind costs more than it
saves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """One relation of one row, and for each response key the object made from it."""

    relation: Fragment
    objects: Mapping[str, Fragment]


def shared_scans(queries: Iterable[tuple[str, Query]], outer: str, aliases: Aliases) -> list[Scan]:
    """Return a scan for each set of two or more queries (by response key) that one scan can answer."""
    groups: dict[tuple[FromTable, Join, frozenset[Condition]], dict[str, AggregateQuery]] = {}
    for alias, query in queries:
        if isinstance(query, AggregateQuery) and isinstance(query.rows.source, FromTable) and _only_counts(query):
            elsewhere = frozenset(item for item in _conjuncts(query.rows.where) if _looks_elsewhere(item))
            if all(_holds_no_literal(condition) for condition in elsewhere):
                groups.setdefault((query.rows.source, query.rows.join, elsewhere), {})[alias] = query
    return [_scan(group, outer, aliases) for group in groups.values() if len(group) >= _FEWEST]


def _scan(queries: Mapping[str, AggregateQuery], outer: str, aliases: Aliases) -> Scan:
    common = _common(queries.values())
    row, relation = aliases.next(), aliases.next()
    sums = Sums(row, relation)
    objects: dict[str, Fragment] = {}
    rests: list[Condition] = []
    for alias, query in queries.items():
        rest = _rest(query, common)
        rests.append(rest)
        sums.filtered(None if rest == TRUE else condition_sql(rest, row, aliases))
        objects[alias] = sums.counts([field for field in query.fields if isinstance(field, Totals | Typename)])
    whole = TRUE in rests or (outer and len(rests) > _FEW)
    any_of = () if whole else (Or(items=tuple(rests)),)
    rows = replace(next(iter(queries.values())).rows, where=And(items=(*common, *any_of)))
    return Scan(
        relation=sql(
            "({rows}) AS {relation}",
            rows=select_sql(sums.columns(), rows, row, outer, aliases),
            relation=identifier(relation),
        ),
        objects=objects,
    )


def _only_counts(query: AggregateQuery) -> bool:
    """Say whether a query asks for nothing but plain counts: other aggregates may do better alone, by an index."""
    if windowed(query.rows):
        return False
    for field in query.fields:
        match field:
            case Typename():
                pass
            case Totals(fields=fields) if all(
                isinstance(total, Typename) or (isinstance(total, Count) and not total.distinct) for total in fields
            ):
                pass
            case _:
                return False
    return True


def _conjuncts(condition: Condition) -> tuple[Condition, ...]:
    return condition.items if isinstance(condition, And) else (condition,)


def _common(queries: Iterable[AggregateQuery]) -> tuple[Condition, ...]:
    """Return the conditions that stand in every filter and hold no literal, whose equality would be chance."""
    first, *others = [_conjuncts(query.rows.where) for query in queries]
    return tuple(
        condition for condition in first if _holds_no_literal(condition) and all(condition in other for other in others)
    )


def _rest(query: AggregateQuery, common: tuple[Condition, ...]) -> Condition:
    rest = tuple(condition for condition in _conjuncts(query.rows.where) if condition not in common)
    return rest[0] if len(rest) == 1 else And(items=rest)


def _holds_no_literal(condition: Condition) -> bool:
    match condition:
        case And(items=items) | Or(items=items):
            return all(_holds_no_literal(item) for item in items)
        case Not(item=item):
            return _holds_no_literal(item)
        case Exists(where=where):
            return _holds_no_literal(where)
        case Compare(value=value):
            return isinstance(value.source, Variable)
        case IsNull():
            return True


def _looks_elsewhere(condition: Condition) -> bool:
    """Say whether a condition asks about other tables.

    Such a condition has to be common to all queries of a scan: in an OR it would cost a subquery per row.
    """
    match condition:
        case And(items=items) | Or(items=items):
            return any(_looks_elsewhere(item) for item in items)
        case Not(item=item):
            return _looks_elsewhere(item)
        case Exists():
            return True
        case Compare() | IsNull():
            return False
