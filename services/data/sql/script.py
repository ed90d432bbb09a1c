"""The plan of a mutation → a script: statements that use what earlier ones returned, and how to answer from them.

The script does no I/O: it says which statement to run next and is told the rows. Compiled by request, once per shape;
played by write.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.data.errors import NotSupported
from services.data.plan.changes import Affected, Change, Demand, Member, Returning, Step, kept_name, step_name
from services.data.plan.tree import Typename
from services.data.plan.values import Items, Resolved, Source, resolve
from services.data.sql.changes import reads_sql, step_sql

Records = Sequence[Sequence[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A statement to run now; `path` is what an error of Postgres should name."""

    text: str
    parameters: Sequence[Resolved]
    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A statement of the script and where its parameters come from."""

    text: str
    parameters: tuple[Source, ...]

    def call(self, values: Mapping[str, Any], path: str) -> Call:
        """Return the call with these values of variables and of earlier statements."""
        return Call(text=self.text, parameters=[resolve(each, values) for each in self.parameters], path=path)


@dataclass(frozen=True, kw_only=True, slots=True)
class WriteCommand(Command):
    """A statement that writes.

    Attributes:
        name: what it returns is bound to.
        columns: how many texts it returns of each row; 0 if it returns one row, the number of rows and the answers.
        kept: see Step.
        demand: see Demand.
    """

    name: str
    columns: int
    kept: tuple[int, ...]
    demand: Demand | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptField:
    """A root field: its writes, what is read after them, and what the response holds."""

    alias: str
    path: str
    writes: tuple[WriteCommand, ...]
    read: Command | None
    members: tuple[Member, ...] | None

    def play(self, variables: Mapping[str, Any]) -> Generator[Call, Records, bytes]:
        """Yield the calls in order, each to be answered with its rows; return the field's answer as JSON.

        Raises:
            NotSupported: a row is missing that others depend on.
        """
        values = dict(variables)
        affected = 0
        answers: Sequence[bytes | None] = ()
        kept: list[list[str]] = []
        for write in self.writes:
            rows = yield write.call(values, self.path)
            if write.columns == 0:
                affected += rows[0][0]
                answers = rows[0][1:]
                continue
            affected += len(rows)
            if write.demand is not None and len(rows) != write.demand.rows:
                raise NotSupported(write.demand.message, path=self.path)
            columns = [[row[number] for row in rows] for number in range(write.columns)]
            values[write.name] = columns
            if write.kept:
                kept = kept or [[] for _ in write.kept]
                for number, column in enumerate(write.kept):
                    kept[number] += columns[column]
        if self.read is not None and kept and kept[0]:
            values[kept_name(self.alias)] = kept
            [answers] = yield self.read.call(values, "$")
        return self._answer(affected, answers)

    def _answer(self, affected: int, answers: Sequence[bytes | None]) -> bytes:
        if self.members is None:
            return (answers[0] if answers else None) or b"null"
        members = [b'"%s":%s' % (each.alias.encode(), _member(each, affected, answers)) for each in self.members]
        return b"{" + b",".join(members) + b"}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """Everything one mutation does, field by field."""

    fields: tuple[ScriptField, ...]

    @property
    def size(self) -> int:
        """How many values it takes, those of lists counted singly."""
        return sum(
            len(source.items) if isinstance(source, Items) else 1
            for field in self.fields
            for write in field.writes
            for source in write.parameters
        )

    def play(self, variables: Mapping[str, Any]) -> Generator[Call, Records, dict[str, bytes]]:
        """Yield the calls in order, each to be answered with its rows; return the answers by response key.

        Raises:
            NotSupported: a row is missing that others depend on; everything must be undone.
        """
        answers: dict[str, bytes] = {}
        for field in self.fields:
            answers[field.alias] = yield from field.play(variables)
        return answers


def compile_changes(changes: Sequence[Change]) -> Script:
    """Return the script of a mutation."""
    return Script(fields=tuple(_field(change) for change in changes))


def _field(change: Change) -> ScriptField:
    read: Command | None = None
    if change.reads:
        rendered = reads_sql(change.reads).render()
        read = Command(text=rendered.text, parameters=rendered.sources)
    return ScriptField(
        alias=change.alias,
        path=change.path,
        writes=tuple(_write(step) for step in change.steps),
        read=read,
        members=change.members,
    )


def _write(step: Step) -> WriteCommand:
    rendered = step_sql(step).render()
    return WriteCommand(
        text=rendered.text,
        parameters=rendered.sources,
        name=step_name(step.number),
        columns=len(step.columns) + step.image,
        kept=step.kept,
        demand=step.demand,
    )


def _member(member: Member, affected: int, answers: Sequence[bytes | None]) -> bytes:
    match member:
        case Affected():
            return b"%d" % affected
        case Returning(number=number):
            return (answers[number] if answers else None) or b"[]"
        case Typename(name=name):
            return b'"%s"' % name.encode()
