"""What Postgres says → the body of a response; made by request, once per shape, used by app for each request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from services.data.plan.reads import Reads
from services.data.plan.values import Resolved
from services.data.sql.script import Script
from services.data.sql.statement import Statement

BETWEEN_ROWS: Final = b", \n "
"""As json_agg writes it."""

Rows = Sequence[Sequence[bytes | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """How to answer an operation with variables of one shape.

    Attributes:
        order: the response keys.
        constants: those that need no database (`__typename`, introspection), as JSON.
        statement: what the database answers, None if nothing.
        reads: for a subscription, what the answer depends on; None for a query.
        script: for a mutation, what it does, None if nothing.
    """

    order: tuple[str, ...]
    constants: Mapping[str, bytes]
    statement: Statement | None
    reads: Reads | None = None
    script: Script | None = None
    _between: tuple[bytes, ...] = field(init=False, repr=False, compare=False)
    """What stands around the columns of the statement's row, which come in the order of the response keys."""

    def __post_init__(self) -> None:
        pieces = [b'{"data":{']
        for number, alias in enumerate(self.order):
            pieces[-1] += b'%s"%s":' % (b"," if number else b"", alias.encode())
            if alias in self.constants:
                pieces[-1] += self.constants[alias]
            else:
                pieces.append(b"")
        pieces[-1] += b"}}"
        object.__setattr__(self, "_between", tuple(pieces))

    def response(self, rows: Rows, *, many: bool) -> bytes:
        """Return the response with the rows of the statement in it, JSON as Postgres wrote it.

        Args:
            rows: what the statement said.
            many: whether they are the objects of the only list, one by one.
        """
        if many:
            before, after = self.around_list()
            return b"%b%b%b" % (before, joined(rows), after)
        return self.body(rows[0] if rows else ())

    def around_list(self) -> tuple[bytes, bytes]:
        """Return what stands before and after the objects of the only list."""
        before, after = self._between
        return before + b"[", b"]" + after

    def body(self, row: Sequence[bytes | None]) -> bytes:
        """Return the response with the columns of the statement's one row in it.

        No row at all (an object that is not there) is null.
        """
        between = self._between
        if len(between) == 2:
            return b"".join((between[0], (row and row[0]) or b"null", between[1]))
        if not row:
            return b"null".join(between)
        parts = [between[0]]
        for value, piece in zip(row, between[1:], strict=True):
            parts += value or b"null", piece
        return b"".join(parts)

    def written(self, answers: Mapping[str, bytes]) -> bytes:
        """Return the response with the answers of the script in it."""
        return self.body([answers[alias] for alias in self.order if alias not in self.constants])


def joined(rows: Rows) -> bytes:
    """Return objects of a list as they stand in the response."""
    return BETWEEN_ROWS.join([row[0] or b"null" for row in rows])


class Prepared(NamedTuple):
    """One request, ready to run: `text` is the SQL of the answer's statement and takes `parameters`; it says the
    objects of a list one by one if there may be `many`. Its script takes the `variables`."""

    answer: Answer
    text: str
    parameters: Sequence[Resolved]
    many: bool = False
    variables: Mapping[str, Any] = {}

    def response(self, rows: Rows) -> bytes:
        """Return the response to the request; see Answer.response."""
        return self.answer.response(rows, many=self.many)
