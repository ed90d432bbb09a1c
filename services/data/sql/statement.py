"""A plan → one statement: the text to prepare and where its parameters come from. Called by request, once per shape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from services.data.plan.tree import ListQuery, Plan, Root, Rows
from services.data.plan.values import Getter, Joined, NotJoined, Resolved, Source, Value, getter
from services.data.sql.aliases import Aliases
from services.data.sql.fragment import EMPTY, Fragment, Rendered, join, sql
from services.data.sql.queries import LIST_HEAD, OBJECTS_HEAD, objects_sql, query_sql
from services.data.sql.scans import shared_scans

LONG_DIGITS: Final = 5
"""Lists whose limit has so many digits come as those without a limit do."""

_TEXTS: Final = 50
"""Most texts that a statement keeps; few have more than one limit, and clients ask for pages of few sizes."""

_CHARACTERS: Final = 20_000
"""What these may hold together, so that thousands of long statements do not fill the memory; a few are always kept."""

_FEW: Final = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """One SQL statement for one operation.

    Attributes:
        rendered: SQL and where its parameters come from, the same for every operation of the same shape; its ceilings
            are powers of two. Lists travel as one text where they may.
        aliases: the response keys of the roots; the result is one row with a column for each, in this order.
        many: the result is a row with one column for each object of the only root's list.
        limit: which parameter is the limit of the only root's list; None if it is no list, or has no limit.
        arrays: the same statement with lists as arrays, for requests whose lists cannot be joined; None if none has to.
    """

    rendered: Rendered
    aliases: tuple[str, ...]
    many: bool = False
    limit: int | None = None
    arrays: "Statement | None" = None
    _getters: tuple[Getter, ...] = field(init=False, repr=False, compare=False)
    _text: str = field(init=False, repr=False, compare=False)
    """The text, if it has no ceilings."""
    _texts: dict[tuple[int, ...], str] = field(init=False, repr=False, compare=False, default_factory=dict)
    """Otherwise by the exponents of its ceilings: the driver knows a statement again by its text, most quickly if that
    is the same object."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_getters", tuple(getter(source) for source in self.rendered.sources))
        object.__setattr__(self, "_text", self.rendered.text)

    def bind(self, values: Mapping[str, Any]) -> tuple[str, list[Resolved], bool]:
        """Return the SQL for a request with these values, its parameters (see values.resolve), and whether its result
        is a row for each object of a list.

        Raises:
            ValidationFailed: a value that only the request shows to be wrong: a negative limit, a malformed path.
        """
        try:
            parameters = [get(values) for get in self._getters]
        except NotJoined:
            if self.arrays is None:
                raise
            return self.arrays.bind(values)
        text = self._limited(parameters) if self.rendered.ceilings else self._text
        if self.limit is not None and len(parameters[self.limit] or "") >= LONG_DIGITS:
            return OBJECTS_HEAD + text[len(LIST_HEAD) :], parameters, True
        return text, parameters, self.many

    def _limited(self, parameters: Sequence[Resolved]) -> str:
        """Return the text with ceilings that fit these parameters."""
        exponents = tuple([_exponent(covered, parameters) for covered in self.rendered.ceilings])
        text = self._texts.get(exponents)
        if text is None:
            first, *rest = self.rendered.pieces
            text = first + "".join(f"{2**exponent}{piece}" for exponent, piece in zip(exponents, rest, strict=True))
            if len(self._texts) >= min(_TEXTS, max(_FEW, _CHARACTERS // len(text))):
                self._texts.clear()
            self._texts[exponents] = text
        return text


def _exponent(covered: Sequence[int], parameters: Sequence[Resolved]) -> int:
    """Return the exponent of the least power of two that is no smaller than some parameters together."""
    total = 0
    for number in covered:
        total += int(parameters[number])  # type: ignore[arg-type]  # RowCount is a number, or refused
    return (total - 1).bit_length()


def compile_plan(plan: Plan) -> Statement:
    """Return the statement that answers a plan with at least one root."""
    aliases = Aliases()
    many = False
    limited = None
    match plan.roots:
        case (Root(query=ListQuery() as query),) if query.rows.limit is None:
            fragment, many = objects_sql(query, aliases), True
        case (Root(query=ListQuery(rows=Rows(limit=Value(source=source))) as query),):
            fragment, limited = query_sql(query, "", aliases), source
        case (root,):
            fragment = query_sql(root.query, "", aliases)
        case roots:
            fragment = _row_of(roots, aliases)
    names = tuple(root.alias for root in plan.roots)
    rendered = fragment.render(joined=True)
    arrays = None
    if any(isinstance(source, Joined) for source in rendered.sources):
        with_arrays = fragment.render()
        arrays = Statement(rendered=with_arrays, aliases=names, many=many, limit=_place(limited, with_arrays))
    return Statement(rendered=rendered, aliases=names, many=many, limit=_place(limited, rendered), arrays=arrays)


def _place(source: Source | None, rendered: Rendered) -> int | None:
    return next((place for place, each in enumerate(rendered.sources) if each is source), None)


def _row_of(roots: Sequence[Root], aliases: Aliases) -> Fragment:
    """Return a SELECT with a column for each root."""
    scans = shared_scans([(root.alias, root.query) for root in roots], "", aliases)
    shared = {alias: answer for scan in scans for alias, answer in scan.objects.items()}
    columns = [shared.get(root.alias) or sql("({query})", query=query_sql(root.query, "", aliases)) for root in roots]
    relations = join(", ", [scan.relation for scan in scans])
    return sql(
        "SELECT {columns}{source}",
        columns=join(", ", columns),
        source=sql(" FROM {relations}", relations=relations) if scans else EMPTY,
    )
