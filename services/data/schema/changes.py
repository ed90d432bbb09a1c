"""Tracked tables → the root type of mutations and its inputs (data-api.md §1). Called by build, when mutations are on.

What Postgres would refuse anyway is not offered: views that take no rows, columns that the database computes.
"""

from collections.abc import Callable, Mapping
from typing import Final

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLString,
)

from server_core.errors import ConfigError
from services.data.catalog.model import Column, PgType
from services.data.catalog.tracked import Tracked, TrackedTable
from services.data.schema.bindings import Binding, ColumnField, DeleteRoot, InsertRoot, RelatedField, UpdateRoot
from services.data.schema.inputs import InputTypes, shown_columns, shown_key
from services.data.schema.names import base_name, is_valid, scalar_name
from services.data.schema.operators import aggregates_of

MUTATION_ROOT: Final = "mutation_root"
JSON_OPERATORS: Final = ("_append", "_prepend", "_delete_key", "_delete_elem", "_delete_at_path")
OPERATORS: Final = ("_set", "_inc", *JSON_OPERATORS)
"""The arguments of an update that say what to change."""


def mutation_root(
    tracked: Tracked,
    inputs: InputTypes,
    row: Callable[[TrackedTable], GraphQLObjectType],
    bindings: dict[tuple[str, str], Binding],
) -> GraphQLObjectType | None:
    """Return the type with a field for everything that can be written; None if nothing can.

    Args:
        row: gives the output type of a table's rows.

    Raises:
        ConfigError: two tables would have a field of one name.
    """
    types = _ChangeTypes(tracked, inputs, bindings)
    fields: dict[str, GraphQLField] = {}

    def add(name: str, binding: Binding, type: GraphQLOutputType, arguments: dict[str, GraphQLArgument]) -> None:
        if name in fields:
            raise ConfigError(f"{table.where}: two tracked tables would both have the mutation {name}")
        bindings[MUTATION_ROOT, name] = binding
        fields[name] = GraphQLField(type, dict(sorted(arguments.items())))

    for table in tracked.tables.values():
        name, writes, one = base_name(table.table.name), table.table.writes, row(table)
        if not writes:
            continue
        many = _response(table, one)
        where = {"where": GraphQLArgument(GraphQLNonNull(inputs.bool_exp(table)))}
        has_key = shown_key(table)
        if types.inserts(table):
            objects, object_, conflict = types.insert_arguments(table)
            add(f"insert_{name}", InsertRoot(table=table, one=False), many, objects | conflict)
            add(f"insert_{name}_one", InsertRoot(table=table, one=True), one, object_ | conflict)
        if types.updates(table):
            changes = types.update_arguments(table)
            add(f"update_{name}", UpdateRoot(table=table, by_key=False), many, changes | where)
            if has_key:
                key = {"pk_columns": GraphQLArgument(GraphQLNonNull(types.key_input(table)))}
                add(f"update_{name}_by_pk", UpdateRoot(table=table, by_key=True), one, changes | key)
        if "delete" in writes:
            add(f"delete_{name}", DeleteRoot(table=table, by_key=False), many, where)
            if has_key:
                add(f"delete_{name}_by_pk", DeleteRoot(table=table, by_key=True), one, inputs.key_arguments(table))
    return GraphQLObjectType(MUTATION_ROOT, dict(sorted(fields.items()))) if fields else None


def settable_columns(table: TrackedTable) -> list[Column]:
    """Return the columns that a client may give values for, in alphabetical order."""
    return [column for column in shown_columns(table) if column.settable]


def _response(table: TrackedTable, row: GraphQLObjectType) -> GraphQLObjectType:
    return GraphQLObjectType(
        f"{base_name(table.table.name)}_mutation_response",
        {
            "affected_rows": GraphQLField(GraphQLNonNull(GraphQLInt)),
            "returning": GraphQLField(GraphQLNonNull(GraphQLList(GraphQLNonNull(row)))),
        },
    )


class _ChangeTypes:
    """Makes each input type of mutations once and notes what its fields stand for."""

    def __init__(self, tracked: Tracked, inputs: InputTypes, bindings: dict[tuple[str, str], Binding]) -> None:
        self._tracked = tracked
        self._inputs = inputs
        self._bindings = bindings
        self._made: dict[str, GraphQLInputObjectType] = {}
        self._enums: dict[str, GraphQLEnumType] = {}

    def inserts(self, table: TrackedTable) -> bool:
        """Say whether rows can be inserted; an input type needs at least one field."""
        return "insert" in table.table.writes and bool(settable_columns(table))

    def updates(self, table: TrackedTable) -> bool:
        """Say whether rows can be updated."""
        return "update" in table.table.writes and bool(settable_columns(table))

    def insert_arguments(self, table: TrackedTable) -> tuple[dict[str, GraphQLArgument], ...]:
        """Return the arguments `objects`, `object` and (if there is a key to conflict with) `on_conflict`."""
        input = GraphQLNonNull(self._insert_input(table))
        return (
            {"objects": GraphQLArgument(GraphQLNonNull(GraphQLList(input)))},
            {"object": GraphQLArgument(input)},
            {name: GraphQLArgument(type) for name, type in self._conflict(table).items()},
        )

    def update_arguments(self, table: TrackedTable) -> dict[str, GraphQLArgument]:
        """Return the operators that the table has columns for."""
        base, columns = base_name(table.table.name), settable_columns(table)
        arguments = {"_set": GraphQLArgument(self._columns_input(f"{base}_set_input", columns, self._inputs.scalar))}
        numbers = [column for column in columns if "sum" in aggregates_of(scalar_name(column.type))]
        if numbers:
            arguments["_inc"] = GraphQLArgument(self._columns_input(f"{base}_inc_input", numbers, self._inputs.scalar))
        documents = [column for column in columns if scalar_name(column.type) == "jsonb"]
        for operator in JSON_OPERATORS if documents else ():
            type = self._columns_input(f"{base}{operator}_input", documents, self._operand(operator))
            arguments[operator] = GraphQLArgument(type)
        return arguments

    def key_input(self, table: TrackedTable) -> GraphQLInputObjectType:
        """Return the input that names one row."""
        arguments = self._inputs.key_arguments(table)
        name = f"{base_name(table.table.name)}_pk_columns_input"
        return self._type(name, lambda: {key: GraphQLInputField(item.type) for key, item in arguments.items()})

    def _operand(self, operator: str) -> Callable[[PgType], GraphQLInputType]:
        operands: dict[str, GraphQLInputType] = {
            "_delete_key": GraphQLString,
            "_delete_elem": GraphQLInt,
            "_delete_at_path": GraphQLList(GraphQLNonNull(GraphQLString)),
        }
        return lambda type: operands.get(operator) or self._inputs.scalar(type)

    def _insert_input(self, table: TrackedTable) -> GraphQLInputObjectType:
        name = f"{base_name(table.table.name)}_insert_input"

        def fields() -> Mapping[str, GraphQLInputField]:
            made: dict[str, GraphQLInputField] = {}
            for column in settable_columns(table):
                self._bindings[name, column.name] = ColumnField(column=column)
                made[column.name] = GraphQLInputField(self._inputs.scalar(column.type))
            for relationship in table.relationships.values():
                target = self._tracked.tables[relationship.target]
                if self.inserts(target):
                    self._bindings[name, relationship.name] = RelatedField(relationship=relationship, table=target)
                    made[relationship.name] = GraphQLInputField(self._related_input(target, many=relationship.many))
            return made

        return self._type(name, fields)

    def _related_input(self, table: TrackedTable, *, many: bool) -> GraphQLInputObjectType:
        def fields() -> Mapping[str, GraphQLInputField]:
            input = GraphQLNonNull(self._insert_input(table))
            data = GraphQLNonNull(GraphQLList(input)) if many else input
            conflict = {name: GraphQLInputField(type) for name, type in self._conflict(table).items()}
            return {"data": GraphQLInputField(data), **conflict}

        return self._type(f"{base_name(table.table.name)}_{'arr' if many else 'obj'}_rel_insert_input", fields)

    def _conflict(self, table: TrackedTable) -> dict[str, GraphQLInputObjectType]:
        """Return `on_conflict` where there are keys to conflict with."""
        base = base_name(table.table.name)
        keys = sorted(key.name for key in table.table.keys if key.immediate and is_valid(key.name))
        if not keys or not self.updates(table):
            return {}

        def fields() -> Mapping[str, GraphQLInputField]:
            columns = [column.name for column in settable_columns(table)]
            updated = GraphQLNonNull(self._enum(f"{base}_update_column", columns))
            return {
                "constraint": GraphQLInputField(GraphQLNonNull(self._enum(f"{base}_constraint", keys))),
                "update_columns": GraphQLInputField(GraphQLNonNull(GraphQLList(updated)), default_value=[]),
                "where": GraphQLInputField(self._inputs.bool_exp(table)),
            }

        return {"on_conflict": self._type(f"{base}_on_conflict", fields)}

    def _columns_input(
        self, name: str, columns: list[Column], operand: Callable[[PgType], GraphQLInputType]
    ) -> GraphQLInputObjectType:
        return self._type(name, lambda: {column.name: GraphQLInputField(operand(column.type)) for column in columns})

    def _enum(self, name: str, values: list[str]) -> GraphQLEnumType:
        if name not in self._enums:
            self._enums[name] = GraphQLEnumType(name, {value: value for value in values})
        return self._enums[name]

    def _type(self, name: str, fields: Callable[[], Mapping[str, GraphQLInputField]]) -> GraphQLInputObjectType:
        if name not in self._made:
            self._made[name] = GraphQLInputObjectType(name, lambda: dict(sorted(fields().items())))
        return self._made[name]
