"""The input half of the schema: filters, orderings, column enums and function arguments. Called by build."""

from collections.abc import Callable, Mapping

from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    GraphQLString,
)

from services.data.catalog.model import Column, Function, FunctionArgument, PgType, QualifiedName
from services.data.catalog.tracked import Tracked, TrackedTable
from services.data.schema.bindings import (
    Binding,
    ColumnField,
    CountField,
    FunctionField,
    OperatorField,
    RelatedAggregateField,
    RelatedField,
)
from services.data.schema.names import base_name, is_valid, scalar_name
from services.data.schema.operators import Operand, aggregates_of, operators_of
from services.data.schema.scalars import scalar_type

DIRECTIONS = ("asc", "asc_nulls_first", "asc_nulls_last", "desc", "desc_nulls_first", "desc_nulls_last")


class InputTypes:
    """Makes each input type once, when first asked for, and notes what its fields stand for."""

    def __init__(self, tracked: Tracked, bindings: dict[tuple[str, str], Binding]) -> None:
        self._tracked = tracked
        self._bindings = bindings
        self._made: dict[str, GraphQLInputObjectType] = {}
        self._scalars: dict[str, GraphQLScalarType] = {}
        self._columns: dict[QualifiedName, GraphQLEnumType] = {}
        self._order_by = GraphQLEnumType("order_by", {name: name for name in DIRECTIONS})

    def scalar(self, type: PgType) -> GraphQLScalarType:
        """Return the scalar of a Postgres type."""
        return self.named_scalar(scalar_name(type))

    def named_scalar(self, name: str) -> GraphQLScalarType:
        """Return the scalar with this name."""
        if name not in self._scalars:
            self._scalars[name] = scalar_type(name)
        return self._scalars[name]

    def rows_arguments(self, table: TrackedTable) -> dict[str, GraphQLArgument]:
        """Return the five arguments of everything that selects rows of a table."""
        return {
            "distinct_on": GraphQLArgument(_list_of(self.select_column(table))),
            "limit": GraphQLArgument(GraphQLInt),
            "offset": GraphQLArgument(GraphQLInt),
            "order_by": GraphQLArgument(_list_of(self.order_by(table))),
            "where": GraphQLArgument(self.bool_exp(table)),
        }

    def key_arguments(self, table: TrackedTable) -> dict[str, GraphQLArgument]:
        """Return the arguments that name one row by its primary key."""
        key = table.table.primary_key
        names = sorted(key.columns) if key else []
        return {name: GraphQLArgument(GraphQLNonNull(self.scalar(table.table.columns[name].type))) for name in names}

    def count_arguments(self, table: TrackedTable) -> dict[str, GraphQLArgument]:
        """Return the arguments of `count`."""
        return {
            "columns": GraphQLArgument(_list_of(self.select_column(table))),
            "distinct": GraphQLArgument(GraphQLBoolean),
        }

    def function_arguments(self, function: Function, table: TrackedTable) -> dict[str, GraphQLArgument]:
        """Return the arguments of a function's root field."""
        arguments = self.rows_arguments(table)
        if shown_arguments(function):
            arguments["args"] = GraphQLArgument(GraphQLNonNull(self._function_args(function)))
        return dict(sorted(arguments.items()))

    def select_column(self, table: TrackedTable) -> GraphQLEnumType:
        """Return the enum of a table's columns."""
        name = table.table.name
        if name not in self._columns:
            values = {column.name: column.name for column in shown_columns(table)}
            self._columns[name] = GraphQLEnumType(f"{base_name(name)}_select_column", values)
        return self._columns[name]

    def bool_exp(self, table: TrackedTable) -> GraphQLInputObjectType:
        """Return the filter over a table's rows."""
        name = f"{base_name(table.table.name)}_bool_exp"

        def fields() -> Mapping[str, GraphQLInputField]:
            made = {
                "_and": GraphQLInputField(_list_of(self.bool_exp(table))),
                "_not": GraphQLInputField(self.bool_exp(table)),
                "_or": GraphQLInputField(_list_of(self.bool_exp(table))),
            }
            for column in shown_columns(table):
                self._bindings[name, column.name] = ColumnField(column=column)
                made[column.name] = GraphQLInputField(self._comparison(column.type))
            for relationship in table.relationships.values():
                target = self._tracked.tables[relationship.target]
                self._bindings[name, relationship.name] = RelatedField(relationship=relationship, table=target)
                made[relationship.name] = GraphQLInputField(self.bool_exp(target))
            return made

        return self._type(name, fields)

    def order_by(self, table: TrackedTable) -> GraphQLInputObjectType:
        """Return the ordering of a table's rows."""
        name = f"{base_name(table.table.name)}_order_by"

        def fields() -> Mapping[str, GraphQLInputField]:
            made = {}
            for column in shown_columns(table):
                self._bindings[name, column.name] = ColumnField(column=column)
                made[column.name] = GraphQLInputField(self._order_by)
            for relationship in table.relationships.values():
                target = self._tracked.tables[relationship.target]
                if relationship.many:
                    key = f"{relationship.name}_aggregate"
                    self._bindings[name, key] = RelatedAggregateField(relationship=relationship, table=target)
                    made[key] = GraphQLInputField(self._aggregate_order_by(target))
                else:
                    self._bindings[name, relationship.name] = RelatedField(relationship=relationship, table=target)
                    made[relationship.name] = GraphQLInputField(self.order_by(target))
            return made

        return self._type(name, fields)

    def _aggregate_order_by(self, table: TrackedTable) -> GraphQLInputObjectType:
        base = base_name(table.table.name)
        name = f"{base}_aggregate_order_by"

        def fields() -> Mapping[str, GraphQLInputField]:
            self._bindings[name, "count"] = CountField()
            made = {"count": GraphQLInputField(self._order_by)}
            for function, columns in aggregated_columns(table).items():
                self._bindings[name, function] = FunctionField(function=function)
                made[function] = GraphQLInputField(self._function_order_by(f"{base}_{function}_order_by", columns))
            return made

        return self._type(name, fields)

    def _function_order_by(self, name: str, columns: list[Column]) -> GraphQLInputObjectType:
        def fields() -> Mapping[str, GraphQLInputField]:
            for column in columns:
                self._bindings[name, column.name] = ColumnField(column=column)
            return {column.name: GraphQLInputField(self._order_by) for column in columns}

        return self._type(name, fields)

    def _comparison(self, type: PgType) -> GraphQLInputObjectType:
        scalar = self.scalar(type)
        name = f"{scalar.name}_comparison_exp"

        def fields() -> Mapping[str, GraphQLInputField]:
            made: dict[str, GraphQLInputField] = {}
            for operator, operand in operators_of(scalar.name).items():
                self._bindings[name, operator] = OperatorField(operator=operator, operand=operand)
                made[operator] = GraphQLInputField(_operand_type(operand, scalar))
            return made

        return self._type(name, fields)

    def _function_args(self, function: Function) -> GraphQLInputObjectType:
        def fields() -> Mapping[str, GraphQLInputField]:
            return {
                name: GraphQLInputField(self.scalar(argument.type))
                for name, argument in shown_arguments(function).items()
            }

        return self._type(f"{base_name(function.name)}_args", fields)

    def _type(self, name: str, fields: Callable[[], Mapping[str, GraphQLInputField]]) -> GraphQLInputObjectType:
        if name not in self._made:
            self._made[name] = GraphQLInputObjectType(name, lambda: dict(sorted(fields().items())))
        return self._made[name]


def shown_key(table: TrackedTable) -> bool:
    """Say whether rows can be named by primary key: there is one, and GraphQL can name its columns."""
    key = table.table.primary_key
    return key is not None and all(is_valid(name) for name in key.columns)


def shown_arguments(function: Function) -> dict[str, FunctionArgument]:
    """Return the arguments that GraphQL can name; those without a name go by their number."""
    named = {argument.name or f"arg_{number}": argument for number, argument in enumerate(function.arguments, 1)}
    return {name: argument for name, argument in named.items() if is_valid(name)}


def shown_columns(table: TrackedTable) -> list[Column]:
    """Return the columns that GraphQL can name, in alphabetical order."""
    return [column for name, column in sorted(table.table.columns.items()) if is_valid(name)]


def aggregated_columns(table: TrackedTable) -> dict[str, list[Column]]:
    """Return each aggregate function that the table has columns for, with them."""
    columns: dict[str, list[Column]] = {}
    for column in shown_columns(table):
        for function in aggregates_of(scalar_name(column.type), enum=column.type.kind == "e" and not column.domain):
            columns.setdefault(function, []).append(column)
    return columns


def _operand_type(operand: Operand, scalar: GraphQLScalarType) -> GraphQLInputType:
    match operand:
        case Operand.SAME:
            return scalar
        case Operand.LIST:
            return _list_of(scalar)
        case Operand.TEXT:
            return GraphQLString
        case Operand.TEXTS:
            return _list_of(GraphQLString)
        case Operand.FLAG:
            return GraphQLBoolean


def _list_of(type: GraphQLScalarType | GraphQLEnumType | GraphQLInputObjectType) -> GraphQLList[GraphQLInputType]:
    return GraphQLList(GraphQLNonNull(type))
