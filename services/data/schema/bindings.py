"""What a field of the schema stands for: (type, field) → binding. Made by build, read by the planner, which so needs
no knowledge of names."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from graphql import GraphQLSchema

from services.data.catalog.model import Column, Function
from services.data.catalog.tracked import Relationship, TrackedTable
from services.data.schema.operators import Operand


@dataclass(frozen=True, kw_only=True, slots=True)
class ListRoot:
    """A root field: rows of a table."""

    table: TrackedTable


@dataclass(frozen=True, kw_only=True, slots=True)
class AggregateRoot:
    """A root field: aggregates over a table."""

    table: TrackedTable


@dataclass(frozen=True, kw_only=True, slots=True)
class ByKeyRoot:
    """A root field: the row with this primary key."""

    table: TrackedTable


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionRoot:
    """A root field: the rows that a function returns, or aggregates over them."""

    function: Function
    table: TrackedTable
    aggregate: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnField:
    """A column: of a row, in a filter, in an ordering, in an aggregate."""

    column: Column


@dataclass(frozen=True, kw_only=True, slots=True)
class RelatedField:
    """A relationship: in a row, in a filter, in an ordering."""

    relationship: Relationship
    table: TrackedTable


@dataclass(frozen=True, kw_only=True, slots=True)
class RelatedAggregateField:
    """Aggregates over the other end of an array relationship: in a row, in an ordering."""

    relationship: Relationship
    table: TrackedTable


@dataclass(frozen=True, kw_only=True, slots=True)
class AggregateField:
    """The field `aggregate`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NodesField:
    """The field `nodes`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CountField:
    """The field `count`, selected or ordered by."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionField:
    """An aggregate function over columns: `max`, `sum` …"""

    function: str


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatorField:
    """A comparison operator of a column."""

    operator: str
    operand: Operand


@dataclass(frozen=True, kw_only=True, slots=True)
class InsertRoot:
    """A root field of mutations: insert objects, or `one`."""

    table: TrackedTable
    one: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateRoot:
    """A root field of mutations: change rows, or the one `by_key`."""

    table: TrackedTable
    by_key: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class DeleteRoot:
    """A root field of mutations: delete rows, or the one `by_key`."""

    table: TrackedTable
    by_key: bool


Root = ListRoot | AggregateRoot | ByKeyRoot | FunctionRoot
MutationRoot = InsertRoot | UpdateRoot | DeleteRoot
Binding = (
    Root
    | MutationRoot
    | ColumnField
    | RelatedField
    | RelatedAggregateField
    | AggregateField
    | NodesField
    | CountField
    | FunctionField
    | OperatorField
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """The schema as clients see it, and what each field of it stands for."""

    graphql: GraphQLSchema
    bindings: Mapping[tuple[str, str], Binding] = field(repr=False)

    def binding(self, type: str, name: str) -> Binding:
        """Return what a field of a type stands for; the document was validated, so it is there."""
        return self.bindings[type, name]
