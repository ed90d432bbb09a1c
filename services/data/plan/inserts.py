"""Objects to insert, nested to any depth → steps: parents first, then the rows, then their children (data-api.md §2.4).

Objects of one level and one relationship are one statement. Only with `on_conflict` on rows that others depend on it
is one statement each: a row that is ignored is not returned, and then nothing would say which one it was.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from services.data.catalog.model import Column, Table
from services.data.catalog.tracked import Relationship, TrackedTable
from services.data.errors import ValidationFailed
from services.data.plan.changes import Conflict, Demand, Insert, Step, written_source
from services.data.plan.given import Given
from services.data.plan.strict import StrictFilters
from services.data.plan.tree import TRUE, Condition
from services.data.plan.values import Null, Source
from services.data.schema.bindings import ColumnField, RelatedField, Schema
from services.data.schema.names import base_name, scalar_name

T = TypeVar("T")

MOST_VALUES: Final = 32_000
"""Postgres' protocol and its driver number the parameters of a statement with 16 bits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Object:
    """An object to insert: as given, where it stands, and the columns that its surroundings determine."""

    given: Given
    path: str
    determined: Mapping[str, Source] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Related:
    """Objects given under a relationship."""

    relationship: Relationship
    table: TrackedTable
    objects: tuple[tuple[Given, str], ...]
    conflict: Conflict | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """An object, taken apart: values of columns, and what comes before and after it."""

    values: dict[str, Source]
    parents: list[_Related]
    children: list[_Related]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where a row that was written is found: a step and the row's number in what it returns."""

    step: Step
    row: int

    def value(self, column: str) -> Source:
        return written_source(self.step.number, self.step.columns.index(column), self.row)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    """What the caller of an insert needs: columns of each row, or its image, to be kept for the answer or not;
    `demand` is the complaint if a row is not there."""

    columns: tuple[str, ...] = ()
    image: bool = False
    kept: bool = False
    demand: str | None = None


class Inserts:
    """Plans the inserts of one root field.

    Args:
        schema: what the fields of the inputs stand for.
        filters: reads the conditions of `on_conflict`.
        number: that of the first step.

    Attributes:
        steps: what was planned so far, in order.
    """

    def __init__(self, *, schema: Schema, filters: StrictFilters, number: int) -> None:
        self._schema = schema
        self._filters = filters
        self._first = number
        self.steps: list[Step] = []

    def plan(
        self,
        table: TrackedTable,
        objects: Sequence[Object],
        conflict: Conflict | None,
        *,
        columns: tuple[str, ...],
        image: bool,
    ) -> None:
        """Plan the objects of a root field; they return the columns, or their images, to be kept.

        Raises:
            ValidationFailed: a column is set that the nesting determines.
        """
        self._insert(table, objects, conflict, _Wanted(columns=columns, image=image, kept=True))

    def conflict(self, table: TrackedTable, given: Given, path: str) -> Conflict:
        """Return what `on_conflict` says.

        Raises:
            ValidationFailed: its `where` holds a null or nothing where an operator's value should be.
        """
        entries = dict(given.entries())
        columns, where = entries.get("update_columns"), entries.get("where")
        for name in ("constraint", "update_columns"):
            if name in entries and entries[name].is_null():
                raise ValidationFailed("unexpected null value", path=f"{path}.{name}")
        condition: Condition = TRUE
        if where is not None and not where.is_null():
            condition = self._filters.condition(table, where, f"{path}.where")
        return Conflict(
            constraint=entries["constraint"].name(),
            columns=tuple(dict.fromkeys(item.name() for item in columns.items())) if columns else (),
            where=condition,
        )

    def _insert(
        self, table: TrackedTable, objects: Sequence[Object], conflict: Conflict | None, wanted: _Wanted
    ) -> list[_Place]:
        rows = [self._row(table, each) for each in objects]
        for referring in _by_relationship((row, row.parents) for row in rows):
            self._parents(referring)
        places = self._write(table, rows, conflict, wanted)
        for referred in _by_relationship((place, row.children) for place, row in zip(places, rows, strict=True)):
            self._children(referred)
        return places

    def _parents(self, members: "list[tuple[_Row, _Related]]") -> None:
        """Insert the objects that rows of one table refer to, and let them do so."""
        related = members[0][1]
        pairs, target = related.relationship.columns, related.table
        message = (
            f'cannot proceed to insert object relation "{related.relationship.name}" '
            f'since insert to table "{base_name(target.table.name)}" affects zero rows'
        )
        objects = [Object(given=given, path=path) for _, each in members for given, path in each.objects]
        wanted = _Wanted(columns=tuple(remote for _, remote in pairs), demand=message)
        places = self._insert(target, objects, related.conflict, wanted)
        for (row, _), place in zip(members, places, strict=True):
            row.values.update((own, place.value(remote)) for own, remote in pairs)

    def _children(self, members: "list[tuple[_Place, _Related]]") -> None:
        """Insert the objects that refer to rows of one table."""
        related = members[0][1]
        objects = [
            Object(
                given=given,
                path=path,
                determined={remote: place.value(own) for own, remote in each.relationship.columns},
            )
            for place, each in members
            for given, path in each.objects
        ]
        self._insert(related.table, objects, related.conflict, _Wanted())

    def _row(self, table: TrackedTable, each: Object) -> _Row:
        type, path = f"{base_name(table.table.name)}_insert_input", each.path
        row = _Row(values=dict(each.determined), parents=[], children=[])
        given_columns: set[str] = set()
        if each.given.is_null():
            raise ValidationFailed("unexpected null value for an object", path=path)
        for key, given in each.given.entries():
            match self._schema.binding(type, key):
                case ColumnField(column=column):
                    if key in each.determined:
                        raise _determined("columns", key, path)
                    given_columns.add(key)
                    row.values[key] = Null() if given.is_null() else given.text(scalar_name(column.type))
                case RelatedField(relationship=relationship, table=target):
                    related = None if given.is_null() else self._related(relationship, target, given, f"{path}.{key}")
                    if related is not None:
                        (row.parents if _refers(table.table, relationship, target.table) else row.children).append(
                            related
                        )
                case binding:
                    raise TypeError(f"not a field of an object: {binding}")
        taken = given_columns | each.determined.keys()
        for related in row.parents:
            for own, _ in related.relationship.columns:
                if own in taken:
                    raise _determined(f"object relationship {related.relationship.name} as", own, path)
                taken.add(own)
        return row

    def _related(self, relationship: Relationship, table: TrackedTable, given: Given, path: str) -> _Related | None:
        """Read `{data, on_conflict}`; None if there is no data."""
        entries = dict(given.entries())
        data, conflict = entries["data"], entries.get("on_conflict")
        if data.is_null():
            return None
        objects: list[tuple[Given, str]] = [(data, f"{path}.data")]
        if relationship.many:
            objects = [(item, f"{path}.data[{number}]") for number, item in enumerate(data.items())]
        if not objects:
            return None
        resolution = None
        if conflict is not None and not conflict.is_null():
            resolution = self.conflict(table, conflict, f"{path}.on_conflict")
        return _Related(relationship=relationship, table=table, objects=tuple(objects), conflict=resolution)

    def _write(self, table: TrackedTable, rows: list[_Row], conflict: Conflict | None, wanted: _Wanted) -> list[_Place]:
        """Add the steps that insert the rows themselves."""
        needed = [own for row in rows for each in row.children for own, _ in each.relationship.columns]
        columns = tuple(dict.fromkeys((*wanted.columns, *needed)))
        columns_of_rows = _columns(table.table, rows)
        places: list[_Place] = []
        for batch in _batches(rows, len(columns_of_rows), alone=conflict is not None and bool(needed or wanted.demand)):
            message = wanted.demand
            if message is None and any(row.children for row in batch):
                name = base_name(table.table.name)
                message = f'cannot proceed to insert array relations since insert to table "{name}" affects zero rows'
            step = Step(
                number=self._first + len(self.steps),
                write=Insert(
                    table=table.table.name,
                    columns=columns_of_rows,
                    rows=tuple(tuple(row.values.get(column.name) for column in columns_of_rows) for row in batch),
                    conflict=conflict,
                ),
                columns=columns,
                image=wanted.image,
                kept=() if not wanted.kept else (len(columns),) if wanted.image else tuple(range(len(wanted.columns))),
                demand=None if message is None else Demand(rows=len(batch), message=message),
            )
            self.steps.append(step)
            places += [_Place(step=step, row=number) for number, _ in enumerate(batch)]
        return places


def _by_relationship(items: Iterable[tuple[T, list[_Related]]]) -> list[list[tuple[T, _Related]]]:
    """Return those that can be inserted together: one relationship, one rule for conflicts."""
    groups: dict[tuple[str, Conflict | None], list[tuple[T, _Related]]] = {}
    for item, many in items:
        for related in many:
            groups.setdefault((related.relationship.name, related.conflict), []).append((item, related))
    return list(groups.values())


def _refers(table: Table, relationship: Relationship, target: Table) -> bool:
    """Say whether rows of the table refer to those at the other end, which so come first."""
    if relationship.many:
        return False
    pairs = set(relationship.columns)
    own = (key for key in table.foreign_keys if key.target == target.name)
    if any(set(zip(key.columns, key.target_columns, strict=True)) == pairs for key in own):
        return True
    remote = (key for key in target.foreign_keys if key.target == table.name)
    return not any(set(zip(key.target_columns, key.columns, strict=True)) == pairs for key in remote)


def _batches(rows: list[_Row], width: int, *, alone: bool) -> list[list[_Row]]:
    """Divide rows among statements: all in one, unless that would take too many parameters."""
    if alone:
        return [[row] for row in rows]
    alike = all(row.values.keys() == rows[0].values.keys() for row in rows)
    size = len(rows) if alike and rows[0].values else MOST_VALUES // width
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _determined(what: str, column: str, path: str) -> ValidationFailed:
    return ValidationFailed(f'cannot insert {what} "{column}": its value is already determined', path=path)


def _columns(table: Table, rows: list[_Row]) -> tuple[Column, ...]:
    """Return the columns that any row sets, in the table's order; some column, if none does."""
    named = {name for row in rows for name in row.values}
    return tuple(column for name, column in table.columns.items() if name in named) or (
        next(iter(table.columns.values())),
    )
