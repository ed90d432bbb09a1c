"""Tracked tables and functions → Schema: every type and root field that queries need. Called by app at start.

Names, nullability and arguments are Hasura's (data-api.md §1). Mutations (changes) are a further root type over the
same table types, shown when they are served. Whatever can be asked can be subscribed to: both root types have the same
fields.
"""

from collections.abc import Mapping

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLString,
)

from server_core.errors import ConfigError
from services.data.catalog.model import Column, QualifiedName
from services.data.catalog.tracked import Tracked, TrackedTable
from services.data.schema.bindings import (
    AggregateField,
    AggregateRoot,
    Binding,
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
from services.data.schema.changes import mutation_root
from services.data.schema.inputs import InputTypes, aggregated_columns, shown_columns, shown_key
from services.data.schema.names import base_name, is_valid, scalar_name
from services.data.schema.operators import aggregate_scalar

QUERY_ROOT = "query_root"
SUBSCRIPTION_ROOT = "subscription_root"


def build_schema(tracked: Tracked, *, mutations: bool = False) -> Schema:
    """Return the schema over everything that is tracked.

    Args:
        mutations: show what can be written as well.

    Raises:
        ConfigError: a tracked name cannot be spelled in GraphQL, or two come out the same.
    """
    _check_names(tracked)
    try:
        return _schema(tracked, mutations=mutations)
    except TypeError as error:
        # A table named like a scalar (`date`), or like what is derived from another (`flow` and `flow_bool_exp`).
        named = [table.where for name, table in tracked.tables.items() if f"'{base_name(name)}'" in str(error)]
        where = named[0] if named else "metadata"
        raise ConfigError(f"{where}: two different types would have the same name: {error}") from None


def _schema(tracked: Tracked, *, mutations: bool) -> Schema:
    bindings: dict[tuple[str, str], Binding] = {}
    inputs = InputTypes(tracked, bindings)
    types = _OutputTypes(tracked, inputs, bindings)
    changes = mutation_root(tracked, inputs, types.row, bindings) if mutations else None
    query = types.query_root()
    subscription = GraphQLObjectType(SUBSCRIPTION_ROOT, query.fields)
    return Schema(graphql=GraphQLSchema(query=query, mutation=changes, subscription=subscription), bindings=bindings)


class _OutputTypes:
    """Makes each output type once and notes what its fields stand for."""

    def __init__(self, tracked: Tracked, inputs: InputTypes, bindings: dict[tuple[str, str], Binding]) -> None:
        self._tracked = tracked
        self._inputs = inputs
        self._bindings = bindings
        self._rows: dict[QualifiedName, GraphQLObjectType] = {}
        self._aggregates: dict[QualifiedName, GraphQLObjectType] = {}

    def query_root(self) -> GraphQLObjectType:
        """Return the type with a field for everything that can be asked."""
        fields: dict[str, GraphQLField] = {}
        where = ""

        def add(name: str, binding: Binding, type: GraphQLOutputType, arguments: dict[str, GraphQLArgument]) -> None:
            if name in fields:
                raise ConfigError(f"{where}: two tracked tables or functions would both be the field {name}")
            self._bindings[QUERY_ROOT, name] = binding
            fields[name] = GraphQLField(type, arguments)

        for table in self._tracked.tables.values():
            where = table.where
            name = base_name(table.table.name)
            arguments = self._inputs.rows_arguments(table)
            add(name, ListRoot(table=table), _list_of(self.row(table)), arguments)
            add(f"{name}_aggregate", AggregateRoot(table=table), GraphQLNonNull(self._aggregate(table)), arguments)
            if shown_key(table):
                add(f"{name}_by_pk", ByKeyRoot(table=table), self.row(table), self._inputs.key_arguments(table))
        for function in self._tracked.functions:
            where = self._tracked.places[function.name]
            table = self._tracked.tables[function.returns]
            name = base_name(function.name)
            arguments = self._inputs.function_arguments(function, table)
            rows: GraphQLOutputType = _list_of(self.row(table)) if function.returns_set else self.row(table)
            add(name, FunctionRoot(function=function, table=table, aggregate=False), rows, arguments)
            add(
                f"{name}_aggregate",
                FunctionRoot(function=function, table=table, aggregate=True),
                GraphQLNonNull(self._aggregate(table)),
                arguments,
            )
        return GraphQLObjectType(QUERY_ROOT, dict(sorted(fields.items())))

    def row(self, table: TrackedTable) -> GraphQLObjectType:
        """Return the type of a table's rows: columns and relationships."""
        if table.table.name in self._rows:
            return self._rows[table.table.name]
        name = base_name(table.table.name)

        def fields() -> Mapping[str, GraphQLField]:
            made: dict[str, GraphQLField] = {}
            for column in shown_columns(table):
                self._bindings[name, column.name] = ColumnField(column=column)
                made[column.name] = self._column(column)
            for relationship in table.relationships.values():
                target = self._tracked.tables[relationship.target]
                self._bindings[name, relationship.name] = RelatedField(relationship=relationship, table=target)
                row = self.row(target)
                if not relationship.many:
                    made[relationship.name] = GraphQLField(row if relationship.nullable else GraphQLNonNull(row))
                    continue
                aggregate, arguments = f"{relationship.name}_aggregate", self._inputs.rows_arguments(target)
                self._bindings[name, aggregate] = RelatedAggregateField(relationship=relationship, table=target)
                made[relationship.name] = GraphQLField(_list_of(row), arguments)
                made[aggregate] = GraphQLField(GraphQLNonNull(self._aggregate(target)), arguments)
            return dict(sorted(made.items()))

        self._rows[table.table.name] = GraphQLObjectType(name, fields)
        return self._rows[table.table.name]

    def _column(self, column: Column) -> GraphQLField:
        scalar = self._inputs.scalar(column.type)
        arguments = {"path": GraphQLArgument(GraphQLString)} if scalar.name in ("json", "jsonb") else {}
        return GraphQLField(scalar if column.nullable else GraphQLNonNull(scalar), arguments)

    def _aggregate(self, table: TrackedTable) -> GraphQLObjectType:
        """Return the type of aggregates over a table's rows: `aggregate` and `nodes`."""
        if table.table.name in self._aggregates:
            return self._aggregates[table.table.name]
        name = f"{base_name(table.table.name)}_aggregate"
        self._bindings[name, "aggregate"] = AggregateField()
        self._bindings[name, "nodes"] = NodesField()
        self._aggregates[table.table.name] = made = GraphQLObjectType(
            name,
            lambda: {
                "aggregate": GraphQLField(self._aggregate_fields(table)),
                "nodes": GraphQLField(_list_of(self.row(table))),
            },
        )
        return made

    def _aggregate_fields(self, table: TrackedTable) -> GraphQLObjectType:
        base = base_name(table.table.name)
        name = f"{base}_aggregate_fields"
        self._bindings[name, "count"] = CountField()
        fields = {"count": GraphQLField(GraphQLNonNull(GraphQLInt), self._inputs.count_arguments(table))}
        for function, columns in aggregated_columns(table).items():
            self._bindings[name, function] = FunctionField(function=function)
            fields[function] = GraphQLField(self._function_fields(f"{base}_{function}_fields", function, columns))
        return GraphQLObjectType(name, dict(sorted(fields.items())))

    def _function_fields(self, name: str, function: str, columns: list[Column]) -> GraphQLObjectType:
        fields: dict[str, GraphQLField] = {}
        for column in columns:
            self._bindings[name, column.name] = ColumnField(column=column)
            scalar = aggregate_scalar(function, scalar_name(column.type))
            fields[column.name] = GraphQLField(self._inputs.named_scalar(scalar))
        return GraphQLObjectType(name, fields)


def _list_of(type: GraphQLObjectType) -> GraphQLOutputType:
    return GraphQLNonNull(GraphQLList(GraphQLNonNull(type)))


def _check_names(tracked: Tracked) -> None:
    if not tracked.tables:
        raise ConfigError("metadata: no table is tracked")
    names: set[str] = set()
    for table in tracked.tables.values():
        name = base_name(table.table.name)
        if not is_valid(name):
            raise ConfigError(f"{table.where}: table {table.table.name} has a name that GraphQL cannot spell")
        if name in names:
            raise ConfigError(f"{table.where}: two tracked tables would both be the type {name}")
        names.add(name)
        for relationship in table.relationships.values():
            if not is_valid(relationship.name):
                raise ConfigError(
                    f"{relationship.where}: relationship {relationship.name} has a name that GraphQL cannot spell"
                )
        if not shown_columns(table):
            raise ConfigError(f"{table.where}: table {table.table.name} has no column that GraphQL can name")
    for function in tracked.functions:
        if not is_valid(base_name(function.name)):
            raise ConfigError(
                f"{tracked.places[function.name]}: function {function.name} has a name that GraphQL cannot spell"
            )
        for argument in function.arguments:
            if argument.name and not is_valid(argument.name) and not argument.has_default:
                where = tracked.places[function.name]
                raise ConfigError(
                    f"{where}: argument {argument.name} of {function.name}: GraphQL cannot spell the name"
                )
