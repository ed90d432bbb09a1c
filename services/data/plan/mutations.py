"""Root fields of a mutation → Changes: what to write and what to answer (data-api.md §2.4). Called by request.

A response shows rows as they are after the write. Where the written row alone says that, the statement that writes also
answers. Where it does not (a relationship is selected, objects were nested, a trigger may still change the row) the
rows are read again, by primary key; rows that were deleted or have no key are shown as they were written, and only
their relationships are read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from graphql import FragmentDefinitionNode

from services.data.catalog.model import Column, Table
from services.data.catalog.tracked import TrackedTable
from services.data.errors import ValidationFailed
from services.data.plan.build import Planner
from services.data.plan.changes import (
    Affected,
    Assignment,
    Change,
    Conflict,
    Delete,
    Member,
    Returning,
    Step,
    Update,
    Write,
    kept_source,
)
from services.data.plan.filters import all_of
from services.data.plan.given import Given, Scope
from services.data.plan.inserts import Inserts, Object
from services.data.plan.selection import Selected
from services.data.plan.strict import StrictFilters
from services.data.plan.tree import (
    Compare,
    Condition,
    From,
    FromImages,
    FromKeys,
    FromWritten,
    ListQuery,
    Nested,
    ObjectQuery,
    Query,
    RowField,
    Rows,
    Typename,
)
from services.data.plan.values import INT4, TEXT, Null, Value
from services.data.schema.bindings import DeleteRoot, InsertRoot, Schema, UpdateRoot
from services.data.schema.changes import MUTATION_ROOT, OPERATORS
from services.data.schema.names import base_name, scalar_name


def build_changes(
    schema: Schema,
    roots: Sequence[Selected],
    *,
    fragments: Mapping[str, FragmentDefinitionNode],
    scope: Scope,
    null_collapse: bool,
) -> tuple[Change, ...]:
    """Return the plan for root fields of a validated mutation, in written order.

    Args:
        roots: the root fields but `__typename`.
        scope: declared variables and their coerced values, of which only the structure is used.
        null_collapse: whether the null rule holds in what is selected of the rows; it never holds in what selects them.

    Raises:
        DataError: what only planning finds: a filter with null in it, a column set twice …
    """
    rows = Planner.of(schema, fragments=fragments, scope=scope, null_collapse=null_collapse)
    planner = _Planner(schema=schema, rows=rows, filters=StrictFilters(schema=schema), scope=scope)
    changes: list[Change] = []
    for root in roots:
        changes.append(planner.change(root, sum(len(change.steps) for change in changes)))
    return tuple(changes)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Selection:
    """What a field selects of the rows written.

    Attributes:
        one: the answer is one object; otherwise a response with these members and lists.
        fields: what to read of each row, once for each list.
    """

    table: TrackedTable
    one: bool
    members: tuple[Member, ...] | None
    fields: tuple[tuple[RowField, ...], ...]

    @property
    def related(self) -> bool:
        """Whether other rows are shown as well."""
        return any(isinstance(each, Nested) for fields in self.fields for each in fields)

    def queries(self, source: From) -> tuple[Query, ...]:
        """Return what reads it from rows."""
        rows = Rows(source=source)
        if self.one:
            return tuple(ObjectQuery(rows=rows, fields=fields, unique=True) for fields in self.fields)
        return tuple(ListQuery(rows=rows, fields=fields) for fields in self.fields)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Planner:
    schema: Schema
    rows: Planner
    filters: StrictFilters
    scope: Scope

    def change(self, field: Selected, number: int) -> Change:
        """Return the plan of one root field, whose steps are numbered from `number` on."""
        match self.schema.binding(MUTATION_ROOT, field.name):
            case InsertRoot(table=table, one=one):
                return self._insert(table, field, number, one=one)
            case UpdateRoot(table=table, by_key=by_key):
                selection = self._selection(table, field, one=by_key)
                where = self._where(table, field, by_key=by_key)
                assignments = self._assignments(table, field)
                if not assignments:
                    return _change(field, "$", selection, (), ())
                update = Update(table=table.table.name, assignments=assignments, where=where)
                return _alone(field, selection, update, number, again="update" in table.table.settles)
            case DeleteRoot(table=table, by_key=by_key):
                selection = self._selection(table, field, one=by_key)
                delete = Delete(table=table.table.name, where=self._where(table, field, by_key=by_key))
                return _alone(field, selection, delete, number, again=False)
            case binding:
                raise TypeError(f"not a mutation: {binding}")

    def _insert(self, table: TrackedTable, field: Selected, number: int, *, one: bool) -> Change:
        selection, arguments = self._selection(table, field, one=one), field.arguments(self.scope)
        inserts = Inserts(schema=self.schema, filters=self.filters, number=number)
        conflict: Conflict | None = None
        if "on_conflict" in arguments:
            conflict = inserts.conflict(table, arguments["on_conflict"], f"{field.path}.args.on_conflict")
        path = f"{field.path}.args.{'object' if one else 'objects'}"
        objects = (
            [Object(given=field.required("object", self.scope), path=path)]
            if one
            else [
                Object(given=each, path=f"{path}[{n}]")
                for n, each in enumerate(field.required("objects", self.scope).items())
            ]
        )
        if not objects:
            return _change(field, path, selection, (), ())
        key = _key(table.table)
        columns = tuple(column.name for column in key)
        inserts.plan(table, objects, conflict, columns=columns, image=not key)
        steps = inserts.steps
        settles = "insert" in table.table.settles or (conflict is not None and "update" in table.table.settles)
        if len(steps) > 1 or selection.related or (settles and key):
            source = _written(table.table, field.alias, deleted=False)
            return _change(field, path, selection, steps, selection.queries(source) if selection.fields else ())
        [step] = steps
        answers = selection.queries(FromWritten(name=table.table.name))
        return _change(field, path, selection, [replace(step, columns=(), image=False, kept=(), answers=answers)], ())

    def _selection(self, table: TrackedTable, field: Selected, *, one: bool) -> _Selection:
        if one:
            return _Selection(table=table, one=True, members=None, fields=(self.rows.row_fields(table, field),))
        members: list[Member] = []
        fields: list[tuple[RowField, ...]] = []
        for selected in self.rows.selections.of(field):
            match selected.name:
                case "affected_rows":
                    members.append(Affected(alias=selected.alias))
                case "returning":
                    members.append(Returning(alias=selected.alias, number=len(fields)))
                    fields.append(self.rows.row_fields(table, selected))
                case _:
                    name = f"{base_name(table.table.name)}_mutation_response"
                    members.append(Typename(alias=selected.alias, name=name))
        return _Selection(table=table, one=False, members=tuple(members), fields=tuple(fields))

    def _where(self, table: TrackedTable, field: Selected, *, by_key: bool) -> Condition:
        if not by_key:
            return self.filters.condition(table, field.required("where", self.scope), f"{field.path}.args.where")
        key = _key(table.table)
        if isinstance(self.schema.binding(MUTATION_ROOT, field.name), UpdateRoot):
            given = dict(field.required("pk_columns", self.scope).entries())
        else:
            given = {column.name: field.required(column.name, self.scope) for column in key}
        return all_of([_equal(column, given[column.name]) for column in key])

    def _assignments(self, table: TrackedTable, field: Selected) -> tuple[Assignment, ...]:
        arguments, path = field.arguments(self.scope), f"{field.path}.args"
        given = [name for name in OPERATORS if name in arguments]
        if not given:
            raise ValidationFailed(f"at least one of {', '.join(OPERATORS)} is expected", path=path)
        assignments: dict[str, Assignment] = {}
        for operator in given:
            for name, operand in arguments[operator].entries():
                place = f"{path}.{operator}.{name}"
                if name in assignments:
                    raise ValidationFailed(f'column found in multiple operators: "{name}"', path=place)
                column = table.table.columns[name]
                if operand.is_null() and operator != "_set":
                    raise ValidationFailed(f"unexpected null value for operator '{operator}'", path=place)
                value = _operand(column, operator, operand)
                assignments[name] = Assignment(column=column, operator=operator, value=value)
        return tuple(assignments.values())


def _alone(field: Selected, selection: _Selection, write: Write, number: int, *, again: bool) -> Change:
    """Return the plan of a field that is one statement, and perhaps another one that reads."""
    table = selection.table.table
    key = () if isinstance(write, Delete) else _key(table)
    if selection.fields and (selection.related or (again and key)):
        columns = tuple(column.name for column in key)
        kept = tuple(range(len(columns) or 1))
        step = Step(number=number, write=write, columns=columns, image=not key, kept=kept)
        source = _written(table, field.alias, deleted=isinstance(write, Delete))
        return _change(field, "$", selection, [step], selection.queries(source))
    answers = selection.queries(FromWritten(name=table.name))
    return _change(field, "$", selection, [Step(number=number, write=write, answers=answers)], ())


def _change(
    field: Selected, path: str, selection: _Selection, steps: Sequence[Step], reads: tuple[Query, ...]
) -> Change:
    return Change(alias=field.alias, path=path, steps=tuple(steps), reads=reads, members=selection.members)


def _written(table: Table, alias: str, *, deleted: bool) -> From:
    """Return where the rows of a field's answer are read from after the writes."""
    key = () if deleted else _key(table)
    values = tuple(Value(source=kept_source(alias, number), type=TEXT, many=True) for number in range(len(key) or 1))
    return (
        FromKeys(name=table.name, columns=key, values=values) if key else FromImages(name=table.name, images=values[0])
    )


def _key(table: Table) -> tuple[Column, ...]:
    key = table.primary_key
    return tuple(table.columns[name] for name in key.columns) if key else ()


def _equal(column: Column, given: Given) -> Condition:
    value = Value(source=given.text(scalar_name(column.type)), type=column.type)
    return Compare(column=column, operator="_eq", value=value)


def _operand(column: Column, operator: str, given: Given) -> Value:
    match operator:
        case "_set" if given.is_null():
            return Value(source=Null(), type=column.type)
        case "_delete_key":
            return Value(source=given.text("String"), type=TEXT)
        case "_delete_elem":
            return Value(source=given.text("Int"), type=INT4)
        case "_delete_at_path":
            return Value(source=given.texts("String"), type=TEXT, many=True)
    return Value(source=given.text(scalar_name(column.type)), type=column.type)
