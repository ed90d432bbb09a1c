"""Aggregates over one set of rows → the columns that compute them, and the JSON object made of those columns."""

from collections.abc import Sequence
from typing import Final

from services.data.plan.tree import Cell, Count, Group, Totals, Typename
from services.data.sql.fragment import EMPTY, Fragment, column, identifier, join, sql, word, word_json
from services.data.sql.rows import aggregate_sql

JsonText = tuple[str | Fragment, ...]
"""JSON, written out but for the numbers in it."""

_MOST_MEMBERS: Final = 50
"""Functions take a hundred arguments, and a member is two."""


class Sums:
    """Collects the aggregates over the rows that `rows` stands for, to be columns of a relation named `relation`.

    What `totals` returns refers to those columns; `columns` selects them. Equal aggregates are computed once.
    """

    def __init__(self, rows: str, relation: str) -> None:
        self._rows = rows
        self._relation = relation
        self._names: dict[tuple[int, Fragment], str] = {}
        self._filters: list[Fragment] = [EMPTY]

    def filtered(self, condition: Fragment | None) -> None:
        """Let what is asked for from now on see only the rows for which a condition holds; None for all rows.

        Aggregates under different filters are never merged, equal or not: whether two literals happen to be equal may
        not decide the text of a statement.
        """
        self._filters.append(sql(" FILTER (WHERE {condition})", condition=condition) if condition else EMPTY)

    def columns(self) -> Fragment:
        """Return what to select to have them all; at least one, so that there is a row."""
        wanted = self._names or {(0, aggregate_sql("count", EMPTY)): "a1"}
        return join(
            ", ",
            [
                named(name, sql("{call}{filter}", call=call, filter=self._filters[number]))
                for (number, call), name in wanted.items()
            ],
        )

    def totals(self, totals: Totals) -> Fragment:
        """Return the object `aggregate`."""
        if all(isinstance(field, Typename | Count) for field in totals.fields):
            return json_text(self._counts(totals))
        return object_sql([(field.alias, self._total(field)) for field in totals.fields])

    def counts(self, fields: Sequence[Typename | Totals]) -> Fragment:
        """Return an object of such objects, all of whose members are counts."""
        return json_text(_members([(field.alias, self._counts(field)) for field in fields]))

    def _counts(self, field: Typename | Totals | Count | Group) -> "JsonText":
        match field:
            case Typename(name=name):
                return (f'"{name}"',)
            case Totals(fields=fields):
                return _members([(each.alias, self._counts(each)) for each in fields])
            case Count():
                return (self._column(self._count(field)),)
            case Group():
                raise TypeError(f"not a count: {field}")

    def _total(self, field: Typename | Count | Group) -> Fragment:
        match field:
            case Typename(name=name):
                return word(name)
            case Count():
                return self._column(self._count(field))
            case Group(function=function, cells=cells):
                return object_sql([(cell.alias, self._cell(function, cell)) for cell in cells])

    def _cell(self, function: str, cell: Typename | Cell) -> Fragment:
        if isinstance(cell, Typename):
            return word(cell.name)
        return self._column(aggregate_sql(function, column(self._rows, cell.column)))

    def _count(self, count: Count) -> Fragment:
        if not count.columns:
            return aggregate_sql("count", EMPTY)
        columns = [column(self._rows, name) for name in count.columns]
        counted = columns[0] if len(columns) == 1 else sql("({columns})", columns=join(", ", columns))
        if count.distinct:
            return sql("count(DISTINCT {counted})", counted=counted)
        return sql("count({counted})", counted=counted)

    def _column(self, call: Fragment) -> Fragment:
        name = self._names.setdefault((len(self._filters) - 1, call), f"a{len(self._names) + 1}")
        return column(self._relation, name)


def object_sql(members: list[tuple[str, Fragment]]) -> Fragment:
    """Return a JSON object of these members.

    A call costs half of what a subquery does for each row, but takes a limited number of arguments.
    """
    if len(members) > _MOST_MEMBERS:
        columns = join(", ", [named(alias, expression) for alias, expression in members])
        return sql("(SELECT row_to_json(r.*) FROM (SELECT {columns}) r)", columns=columns)
    pairs = [sql("{key}, {value}", key=word(alias), value=expression) for alias, expression in members]
    return sql("json_build_object({pairs})", pairs=join(", ", pairs))


def json_text(parts: JsonText) -> Fragment:
    """Return JSON that is put together as text: a fifth of the cost of calls that make objects."""
    texts = [word_json(part) if isinstance(part, str) else part for part in _joined(parts)]
    return sql("({text})::json", text=join(" || ", texts))


def _members(members: Sequence[tuple[str, JsonText]]) -> JsonText:
    inner = [part for alias, value in members for part in (f',"{alias}":', *value)]
    return ("{", *([str(inner[0])[1:], *inner[1:]] if inner else []), "}")


def _joined(parts: JsonText) -> list[str | Fragment]:
    """Put neighbouring texts together."""
    found: list[str | Fragment] = []
    for part in parts:
        if found and isinstance(part, str) and isinstance(found[-1], str):
            found[-1] += part
        else:
            found.append(part)
    return found


def named(alias: str, expression: Fragment) -> Fragment:
    """Return an expression as a column with a name."""
    return sql("{expression} AS {alias}", expression=expression, alias=identifier(alias))
