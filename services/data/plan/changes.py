"""The plan of a mutation: what to write, in which order, and what to answer. Made by mutations, read by sql.changes.

Writes depend on each other: a child's foreign key holds what its parent's statement returned. Such a value is a
Variable like any other (written_source), which is bound while the writes run.
"""

from dataclasses import dataclass

from services.data.catalog.model import Column, QualifiedName
from services.data.plan.tree import Condition, Query, Typename
from services.data.plan.values import Source, Value, Variable


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """What to do about a row that is there already: set these columns of it where the condition holds, or nothing."""

    constraint: str
    columns: tuple[str, ...]
    where: Condition


@dataclass(frozen=True, kw_only=True, slots=True)
class Insert:
    """New rows: a source for each column, None for the column's default."""

    table: QualifiedName
    columns: tuple[Column, ...]
    rows: tuple[tuple[Source | None, ...], ...]
    conflict: Conflict | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """A new value for a column, by the operator's GraphQL name."""

    column: Column
    operator: str
    value: Value


@dataclass(frozen=True, kw_only=True, slots=True)
class Update:
    """Other values for rows."""

    table: QualifiedName
    assignments: tuple[Assignment, ...]
    where: Condition


@dataclass(frozen=True, kw_only=True, slots=True)
class Delete:
    """Rows to delete."""

    table: QualifiedName
    where: Condition


Write = Insert | Update | Delete


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """Writing must give this many rows, because others depend on them; else the message is the error."""

    rows: int
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One statement that writes.

    Attributes:
        number: its place among the writes of the request.
        columns: what it returns of each row, as text, for later steps.
        image: after these it returns the text of the whole row.
        kept: which of what it returns (by number) the field's answer is read by.
        answers: lists or objects made from the rows just written; only if it returns nothing else.
        demand: see Demand.
    """

    number: int
    write: Write
    columns: tuple[str, ...] = ()
    image: bool = False
    kept: tuple[int, ...] = ()
    answers: tuple[Query, ...] = ()
    demand: Demand | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Affected:
    """The number of rows written, nested ones included."""

    alias: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Returning:
    """One of the lists read; `number` says which."""

    alias: str
    number: int


Member = Typename | Affected | Returning


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A root field of a mutation.

    Attributes:
        path: what errors of Postgres name.
        steps: the writes, in order.
        reads: lists or objects read after the writes; empty if the only step answers itself.
        members: what the response holds; None if the answer is the first object read, or null.
    """

    alias: str
    path: str
    steps: tuple[Step, ...]
    reads: tuple[Query, ...]
    members: tuple[Member, ...] | None


def written_source(step: int, column: int, row: int) -> Source:
    """Return the source of a value that a step returned. (No variable of a client can have this name.)"""
    return Variable(name=step_name(step), path=(column, row))


def step_name(step: int) -> str:
    """Return the name under which the columns that a step returned are bound."""
    return f"#{step}"


def kept_source(alias: str, column: int) -> Source:
    """Return the source of one column of all rows that a field's answer is about."""
    return Variable(name=kept_name(alias), path=(column,))


def kept_name(alias: str) -> str:
    """Return the name under which the columns of those rows are bound."""
    return f"@{alias}"
