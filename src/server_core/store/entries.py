"""Rows of parameters as the source of a statement, `WITH entry AS (…)`. Called by the store's batch statements.

Many rows are arrays for unnest, so that a statement does not grow with them. Postgres then plans the statement anew
each time, because an array of unknown length looks dearer to it than one it can count; for the statements that clients
send most, with one row, that planning costs more than running them. So one row is spelled as scalars: same text
otherwise, and Postgres keeps one plan.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from server_core.states import State

STATE_COLUMNS: Final = (
    ("state_id", "uuid"),
    ("state", "text"),
    ("message", "text"),
    ("start_time", "timestamptz"),
    ("document", "text"),
)
"""Names and types of what state_values returns."""


def state_values(state_id: UUID, state: State) -> tuple[Any, ...]:
    """Return a state as the values of STATE_COLUMNS."""
    return (state_id, state.name, state.message, state.start_time, state.text)


def entry_source(columns: Sequence[tuple[str, str]], *, single: bool) -> str:
    """Return a query that gives the rows of parameters `$1` … `$n`, with their `position` from 1.

    Args:
        columns: name and type of each, in the order of the parameters.
        single: one row; else any number.
    """
    if single:
        members = ", ".join(f"${n}::{type_} AS {name}" for n, (name, type_) in enumerate(columns, start=1))
        return f"SELECT {members}, 1::bigint AS position"
    arrays = ", ".join(f"${n}::{type_}[]" for n, (_, type_) in enumerate(columns, start=1))
    names = ", ".join(name for name, _ in columns)
    return f"SELECT * FROM unnest({arrays}) WITH ORDINALITY AS e({names}, position)"  # noqa: S608 - names from code


def entry_arguments(rows: Sequence[Sequence[Any]], *, single: bool) -> list[Any]:
    """Return the arguments that fill `$1` … `$n` of entry_source; there is at least one row."""
    return list(rows[0]) if single else [list(column) for column in zip(*rows, strict=True)]


def first_column_matches(column: str, type_: str, *, single: bool) -> str:
    """Return a condition: the column is `$1` of (one of) the entries."""
    return f"{column} = $1::{type_}" if single else f"{column} = ANY($1::{type_}[])"
