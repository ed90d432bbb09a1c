"""A validated operation + the structure of its variables → Plan. Called by request, once per shape.

Values are not looked at, only where they come from: the plan serves every request whose variables have the same shape.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphql import FragmentDefinitionNode

from services.data.catalog.tracked import TrackedTable
from services.data.errors import NotSupported
from services.data.plan.filters import Filters, all_of
from services.data.plan.given import Given, Scope
from services.data.plan.ordering import Orderings, distinct_columns
from services.data.plan.selection import Selected, Selections
from services.data.plan.tree import (
    TRUE,
    AggregateQuery,
    Cell,
    Compare,
    Condition,
    Count,
    From,
    FromFunction,
    FromTable,
    Group,
    Join,
    ListQuery,
    Nested,
    Nodes,
    ObjectQuery,
    Plan,
    Query,
    Root,
    RowField,
    Rows,
    Totals,
    Typename,
)
from services.data.plan.values import INT4, TEXT, JsonPath, RowCount, Value
from services.data.schema.bindings import (
    AggregateField,
    AggregateRoot,
    ByKeyRoot,
    ColumnField,
    CountField,
    FunctionField,
    FunctionRoot,
    ListRoot,
    NodesField,
    RelatedAggregateField,
    RelatedField,
    Schema,
)
from services.data.schema.build import QUERY_ROOT
from services.data.schema.names import base_name, scalar_name


def build_plan(
    schema: Schema,
    roots: Sequence[Selected],
    *,
    fragments: Mapping[str, FragmentDefinitionNode],
    scope: Scope,
    null_collapse: bool,
) -> Plan:
    """Return the plan for root fields of a validated operation.

    Args:
        roots: the root fields that the database answers (no introspection, no `__typename`).
        scope: declared variables and their coerced values, of which only the structure is used.
        null_collapse: see Filters.

    Raises:
        DataError: what only planning finds: null where it may not be, `distinct_on` without its ordering …
    """
    planner = Planner.of(schema, fragments=fragments, scope=scope, null_collapse=null_collapse)
    return Plan(roots=tuple(Root(alias=root.alias, query=planner.root(root)) for root in roots))


@dataclass(frozen=True, kw_only=True, slots=True)
class Planner:
    """Plans root fields of a query, and what is selected of rows (mutations)."""

    schema: Schema
    selections: Selections
    filters: Filters
    orderings: Orderings
    scope: Scope

    @classmethod
    def of(
        cls,
        schema: Schema,
        *,
        fragments: Mapping[str, FragmentDefinitionNode],
        scope: Scope,
        null_collapse: bool,
    ) -> "Planner":
        """Return a planner; see build_plan for the arguments."""
        return cls(
            schema=schema,
            selections=Selections(fragments=fragments, scope=scope),
            filters=Filters(schema=schema, null_collapse=null_collapse),
            orderings=Orderings(schema=schema),
            scope=scope,
        )

    def root(self, field: Selected) -> Query:
        """Return what a root field asks."""
        match self.schema.binding(QUERY_ROOT, field.name):
            case ListRoot(table=table):
                return self._list(table, FromTable(name=table.table.name), (), field)
            case AggregateRoot(table=table):
                return self._aggregate(table, FromTable(name=table.table.name), (), field)
            case ByKeyRoot(table=table):
                return self._by_key(table, field)
            case FunctionRoot(table=table, aggregate=aggregate) as binding:
                source = self._function(binding, field)
                if aggregate:
                    return self._aggregate(table, source, (), field)
                if binding.function.returns_set:
                    return self._list(table, source, (), field)
                rows = self._rows(table, source, (), field)
                return ObjectQuery(rows=rows, fields=self.row_fields(table, field), unique=True)
            case binding:
                raise TypeError(f"not a root field: {binding}")

    def _list(self, table: TrackedTable, source: From, join: Join, field: Selected) -> ListQuery:
        return ListQuery(rows=self._rows(table, source, join, field), fields=self.row_fields(table, field))

    def _by_key(self, table: TrackedTable, field: Selected) -> ObjectQuery:
        conditions: list[Condition] = []
        key = table.table.primary_key
        for column in [table.table.columns[name] for name in (key.columns if key else ())]:
            given = field.required(column.name, self.scope)
            value = Value(source=given.text(scalar_name(column.type)), type=column.type)
            conditions.append(Compare(column=column, operator="_eq", value=value))
        rows = Rows(source=FromTable(name=table.table.name), where=all_of(conditions))
        return ObjectQuery(rows=rows, fields=self.row_fields(table, field), unique=True)

    def _rows(self, table: TrackedTable, source: From, join: Join, field: Selected) -> Rows:
        base, path = base_name(table.table.name), f"{field.path}.args"
        arguments = field.arguments(self.scope)
        where, order_by, distinct_on = (arguments.get(name) for name in ("where", "order_by", "distinct_on"))
        orders = self.orderings.orders(f"{base}_order_by", order_by) if order_by else ()
        return Rows(
            source=source,
            join=join,
            where=self.filters.condition(f"{base}_bool_exp", where, f"{path}.where") if where else TRUE,
            distinct=distinct_columns(distinct_on, orders, path) if distinct_on else (),
            order=orders,
            limit=_row_count(arguments.get("limit"), f"{path}.limit"),
            offset=_row_count(arguments.get("offset"), f"{path}.offset"),
        )

    def _function(self, binding: FunctionRoot, field: Selected) -> FromFunction:
        given = field.arguments(self.scope).get("args")
        entries = dict(given.entries()) if given else {}
        arguments: list[tuple[str, Value | None]] = []
        for number, argument in enumerate(binding.function.arguments, 1):
            name = argument.name or f"arg_{number}"
            entry = entries.get(name)
            if entry is not None:
                source = None if entry.is_null() else entry.text(scalar_name(argument.type))
                value = None if source is None else Value(source=source, type=argument.type)
                arguments.append((argument.name, value))
            elif not argument.has_default:
                raise NotSupported(f"the argument '{name}' is required", path=f"{field.path}.args.args")
            elif not argument.name:
                break
        return FromFunction(name=binding.function.name, arguments=tuple(arguments))

    def row_fields(self, table: TrackedTable, field: Selected) -> tuple[RowField, ...]:
        """Return what a field selects of each row."""
        type = base_name(table.table.name)
        return tuple(self._row_field(type, selected) for selected in self.selections.of(field))

    def _row_field(self, type: str, field: Selected) -> RowField:
        if field.name == "__typename":
            return Typename(alias=field.alias, name=type)
        match self.schema.binding(type, field.name):
            case ColumnField(column=column):
                path = field.arguments(self.scope).get("path")
                return Cell(alias=field.alias, column=column.name, path=_json_path(path, f"{field.path}.args.path"))
            case RelatedField(relationship=relationship, table=table):
                source = FromTable(name=table.table.name)
                if relationship.many:
                    return Nested(alias=field.alias, query=self._list(table, source, relationship.columns, field))
                rows = Rows(source=source, join=relationship.columns)
                fields = self.row_fields(table, field)
                return Nested(
                    alias=field.alias, query=ObjectQuery(rows=rows, fields=fields, unique=relationship.unique)
                )
            case RelatedAggregateField(relationship=relationship, table=table):
                source = FromTable(name=table.table.name)
                return Nested(alias=field.alias, query=self._aggregate(table, source, relationship.columns, field))
            case binding:
                raise TypeError(f"not a field of a row: {binding}")

    def _aggregate(self, table: TrackedTable, source: From, join: Join, field: Selected) -> AggregateQuery:
        type = f"{base_name(table.table.name)}_aggregate"
        fields: list[Typename | Totals | Nodes] = []
        for selected in self.selections.of(field):
            if selected.name == "__typename":
                fields.append(Typename(alias=selected.alias, name=type))
                continue
            match self.schema.binding(type, selected.name):
                case AggregateField():
                    fields.append(self._totals(table, selected))
                case NodesField():
                    fields.append(Nodes(alias=selected.alias, fields=self.row_fields(table, selected)))
                case binding:
                    raise TypeError(f"not a field of an aggregate: {binding}")
        return AggregateQuery(rows=self._rows(table, source, join, field), fields=tuple(fields))

    def _totals(self, table: TrackedTable, field: Selected) -> Totals:
        base = base_name(table.table.name)
        type = f"{base}_aggregate_fields"
        fields: list[Typename | Count | Group] = []
        for selected in self.selections.of(field):
            if selected.name == "__typename":
                fields.append(Typename(alias=selected.alias, name=type))
                continue
            match self.schema.binding(type, selected.name):
                case CountField():
                    fields.append(self._count(selected))
                case FunctionField(function=function):
                    cells = self._cells(f"{base}_{function}_fields", selected)
                    fields.append(Group(alias=selected.alias, function=function, cells=cells))
                case binding:
                    raise TypeError(f"not an aggregate: {binding}")
        return Totals(alias=field.alias, fields=tuple(fields))

    def _count(self, field: Selected) -> Count:
        arguments = field.arguments(self.scope)
        columns, distinct = arguments.get("columns"), arguments.get("distinct")
        return Count(
            alias=field.alias,
            columns=tuple(item.name() for item in columns.items()) if columns else (),
            distinct=distinct is not None and distinct.name() == "true",
        )

    def _cells(self, type: str, field: Selected) -> tuple[Typename | Cell, ...]:
        return tuple(
            Typename(alias=selected.alias, name=type)
            if selected.name == "__typename"
            else Cell(alias=selected.alias, column=selected.name)
            for selected in self.selections.of(field)
        )


def _row_count(given: Given | None, path: str) -> Value | None:
    return None if given is None else Value(source=RowCount(source=given.text("Int"), path=path), type=INT4)


def _json_path(given: Given | None, path: str) -> Value | None:
    if given is None:
        return None
    return Value(source=JsonPath(source=given.text("String"), path=path), type=TEXT, many=True)
