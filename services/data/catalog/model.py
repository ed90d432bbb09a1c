"""The database as values: tables, columns, types, keys and functions. Made by introspect, read by every later room."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

WRITES: Final = frozenset({"insert", "update", "delete"})


class QualifiedName(NamedTuple):
    """Schema and name of a table, function or type."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PgType:
    """A Postgres type.

    Attributes:
        name: where it is defined; pg_catalog for the built-in ones.
        kind: pg_type.typtype (`b` base, `e` enum, `c` composite, `r` range, and `d` domain for elements), `a` for
            arrays.
        element: the type of one element, for arrays.
    """

    name: QualifiedName
    kind: str = "b"
    element: "PgType | None" = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of a table or view.

    Attributes:
        type: for a domain the type under it.
        settable: Postgres does not compute it, and a view can pass it on.
        domain: it is of a domain.
    """

    name: str
    type: PgType
    nullable: bool
    settable: bool = True
    domain: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """A primary key or unique constraint; `immediate` if it is checked row by row, so that upserts can go by it."""

    name: str
    columns: tuple[str, ...]
    primary: bool
    immediate: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class ForeignKey:
    """A foreign key: `columns[i]` refers to `target_columns[i]` of `target`."""

    name: str
    columns: tuple[str, ...]
    target: QualifiedName
    target_columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table, view, materialized view or foreign table.

    Attributes:
        writes: what can be done to it: `insert`, `update`, `delete`.
        settles: after which of these triggers still run that may change the row that was written.
    """

    name: QualifiedName
    columns: Mapping[str, Column] = field(hash=False)
    keys: tuple[Key, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    writes: frozenset[str] = WRITES
    settles: frozenset[str] = frozenset()

    @property
    def primary_key(self) -> Key | None:
        """The primary key, if there is one."""
        return next((key for key in self.keys if key.primary), None)

    def identifies(self, columns: frozenset[str]) -> bool:
        """Say whether values for these columns name at most one row."""
        return any(columns.issuperset(key.columns) for key in self.keys)


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionArgument:
    """An input argument; `name` is empty for a positional one."""

    name: str
    type: PgType
    has_default: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Function:
    """A function that returns rows of a table; `overloaded` if there are several of the name."""

    name: QualifiedName
    arguments: tuple[FunctionArgument, ...]
    returns: QualifiedName
    returns_set: bool
    volatile: bool
    overloaded: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalog:
    """Everything that metadata may track."""

    tables: Mapping[QualifiedName, Table]
    functions: Mapping[QualifiedName, Function]
