"""The plan: what was asked, as a frozen tree of tables, columns and values. Made by build, read by the sql room."""

from dataclasses import dataclass
from enum import Enum

from services.data.catalog.model import Column, QualifiedName
from services.data.plan.values import Value

Join = tuple[tuple[str, str], ...]
"""Pairs (column of the outer row, column of the inner row) that must be equal."""


# Where rows come from


@dataclass(frozen=True, kw_only=True, slots=True)
class FromTable:
    """The rows of a table or view."""

    name: QualifiedName


@dataclass(frozen=True, kw_only=True, slots=True)
class FromFunction:
    """The rows a function returns; an argument's name is empty if it is positional, None is NULL."""

    name: QualifiedName
    arguments: tuple[tuple[str, Value | None], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FromWritten:
    """The rows of a table that the statement itself writes, as it wrote them."""

    name: QualifiedName


@dataclass(frozen=True, kw_only=True, slots=True)
class FromKeys:
    """The rows of a table with these keys, in the order of the keys; `values` holds a list for each of `columns`."""

    name: QualifiedName
    columns: tuple[Column, ...]
    values: tuple[Value, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FromImages:
    """Rows of a table as they once were, each as the text of the whole row."""

    name: QualifiedName
    images: Value


From = FromTable | FromFunction | FromWritten | FromKeys | FromImages


# Which rows


@dataclass(frozen=True, kw_only=True, slots=True)
class And:
    """All of them; true when empty."""

    items: "tuple[Condition, ...]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Or:
    """Any of them; false when empty."""

    items: "tuple[Condition, ...]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Not:
    """The opposite."""

    item: "Condition"


@dataclass(frozen=True, kw_only=True, slots=True)
class Compare:
    """A column against a value, by the operator's GraphQL name."""

    column: Column
    operator: str
    value: Value


@dataclass(frozen=True, kw_only=True, slots=True)
class IsNull:
    """A column is null, or is not."""

    column: Column
    null: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Exists:
    """There is a related row for which the condition holds."""

    name: QualifiedName
    join: Join
    where: "Condition"


Condition = And | Or | Not | Compare | IsNull | Exists

TRUE = And(items=())


# In which order


class Direction(Enum):
    """A direction and where nulls go; asc puts them last and desc first, as Postgres does."""

    ASC = "asc"
    DESC = "desc"
    ASC_NULLS_FIRST = "asc_nulls_first"
    DESC_NULLS_LAST = "desc_nulls_last"

    @classmethod
    def of(cls, name: str) -> "Direction":
        """Return the direction that an `order_by` value names."""
        return cls({"asc_nulls_last": "asc", "desc_nulls_first": "desc"}.get(name, name))


@dataclass(frozen=True, kw_only=True, slots=True)
class ByColumn:
    """A column of the row itself."""

    column: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ByRelated:
    """A key of the related object; `unique`: there cannot be two."""

    name: QualifiedName
    join: Join
    unique: bool
    key: "OrderKey"


@dataclass(frozen=True, kw_only=True, slots=True)
class ByAggregate:
    """An aggregate over related rows; no column for count."""

    name: QualifiedName
    join: Join
    function: str
    column: str | None


OrderKey = ByColumn | ByRelated | ByAggregate


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One key of an ordering."""

    key: OrderKey
    direction: Direction


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """A set of rows: source, join to the outer row, filter, order and window."""

    source: From
    join: Join = ()
    where: Condition = TRUE
    distinct: tuple[str, ...] = ()
    order: tuple[Order, ...] = ()
    limit: Value | None = None
    offset: Value | None = None


# What of each row


@dataclass(frozen=True, kw_only=True, slots=True)
class Typename:
    """The name of the GraphQL type."""

    alias: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A column, or what lies under a path in it."""

    alias: str
    column: str
    path: Value | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Nested:
    """The answer to a query joined to the row."""

    alias: str
    query: "Query"


RowField = Typename | Cell | Nested


# What of the whole set


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """The number of rows, or of those where the columns are not null."""

    alias: str
    columns: tuple[str, ...]
    distinct: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """One aggregate function over several columns; cells name them."""

    alias: str
    function: str
    cells: tuple[Typename | Cell, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """The object `aggregate`."""

    alias: str
    fields: tuple[Typename | Count | Group, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Nodes:
    """The rows themselves."""

    alias: str
    fields: tuple[RowField, ...]


# A query: one JSON value


@dataclass(frozen=True, kw_only=True, slots=True)
class ListQuery:
    """A list of objects."""

    rows: Rows
    fields: tuple[RowField, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectQuery:
    """One object or null; `unique`: there cannot be two."""

    rows: Rows
    fields: tuple[RowField, ...]
    unique: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class AggregateQuery:
    """An object about a set of rows."""

    rows: Rows
    fields: tuple[Typename | Totals | Nodes, ...]


Query = ListQuery | ObjectQuery | AggregateQuery


@dataclass(frozen=True, kw_only=True, slots=True)
class Root:
    """A root field that the database answers."""

    alias: str
    query: Query


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What one operation asks of the database."""

    roots: tuple[Root, ...]
