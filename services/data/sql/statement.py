"""A plan → one statement: the text to prepare and where its parameters come from. Called by request, once per shape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.data.plan.tree import ListQuery, Plan, Root
from services.data.plan.values import Getter, Joined, NotJoined, Resolved, Source, getter
from services.data.sql.aliases import Aliases
from services.data.sql.fragment import EMPTY, Fragment, join, sql
from services.data.sql.queries import objects_sql, query_sql
from services.data.sql.scans import shared_scans


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """One SQL statement for one operation.

    Attributes:
        text: SQL; the same for every operation of the same shape. Lists travel as one text where they may.
        parameters: where `$1`, `$2` … come from.
        aliases: the response keys of the roots; the result is one row with a column for each, in this order.
        many: the result is a row with one column for each object of the only root's list.
        arrays: the same statement with lists as arrays, for requests whose lists cannot be joined; None if none has to.
    """

    text: str
    parameters: tuple[Source, ...]
    aliases: tuple[str, ...]
    many: bool = False
    arrays: "Statement | None" = None
    _getters: tuple[Getter, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_getters", tuple(getter(source) for source in self.parameters))

    def bind(self, values: Mapping[str, Any]) -> tuple[str, list[Resolved]]:
        """Return the SQL for a request with these values, and its parameters; see values.resolve.

        Raises:
            ValidationFailed: a value that only the request shows to be wrong: a negative limit, a malformed path.
        """
        try:
            return self.text, [get(values) for get in self._getters]
        except NotJoined:
            if self.arrays is None:
                raise
            return self.arrays.bind(values)


def compile_plan(plan: Plan) -> Statement:
    """Return the statement that answers a plan with at least one root."""
    aliases = Aliases()
    many = False
    match plan.roots:
        case (Root(query=ListQuery() as query),) if query.rows.limit is None:
            fragment, many = objects_sql(query, aliases), True
        case (root,):
            fragment = query_sql(root.query, "", aliases)
        case roots:
            fragment = _row_of(roots, aliases)
    names = tuple(root.alias for root in plan.roots)
    text, parameters = fragment.render(joined=True)
    arrays = None
    if any(isinstance(source, Joined) for source in parameters):
        with_arrays, sources = fragment.render()
        arrays = Statement(text=with_arrays, parameters=sources, aliases=names, many=many)
    return Statement(text=text, parameters=parameters, aliases=names, many=many, arrays=arrays)


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
