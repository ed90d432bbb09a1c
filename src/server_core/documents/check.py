"""A parsed document → what is wrong with it, in bounded time and bounded number. Called by whoever plans documents."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    Node,
    NoSchemaIntrospectionCustomRule,
    OverlappingFieldsCanBeMergedRule,
    SelectionSetNode,
    specified_rules,
    validate,
)

from server_core.documents.overlap import overlaps
from server_core.documents.plain import plainly_valid

MOST_PROBLEMS: Final = 50
"""Most complaints about a document; one more says that there are others."""

_RULES: Final = tuple(rule for rule in specified_rules if rule is not OverlappingFieldsCanBeMergedRule)
_EXPLAINED: Final = 200
"""graphql-core explains conflicts of fields best, but in time that grows with the square of their number."""


class Verdict(NamedTuple):
    """What was found.

    Attributes:
        problems: what is wrong with the document; nothing if it is valid.
        compared: of a valid one, the fields whose arguments were compared with those of others.
    """

    problems: list[GraphQLError]
    compared: Sequence[FieldNode] = ()


def judged(
    schema: GraphQLSchema, document: DocumentNode, *, most: int = MOST_PROBLEMS, introspection: bool = True
) -> Verdict:
    """Return what is wrong with a document, and what was looked at to know it.

    Args:
        most: most complaints; where there are more, one about that is added.
        introspection: whether `__schema` and `__type` are allowed.
    """
    found: list[GraphQLError] = []
    if not plainly_valid(schema, document):
        rules = _RULES if introspection else (*_RULES, NoSchemaIntrospectionCustomRule)
        found += validate(schema, document, rules, max_errors=most)
        if len(found) > most or _spread_each_other(document):
            return Verdict(found)
    overlapping = overlaps(schema, document)
    if overlapping.exhausted:
        found.append(GraphQLError("The document selects too many fields once its fragments are opened."))
    elif overlapping.conflicts and overlapping.fields <= _EXPLAINED:
        found += validate(schema, document, [OverlappingFieldsCanBeMergedRule], max_errors=most)
    else:
        found += overlapping.conflicts
    if len(found) > most:
        found[most:] = [GraphQLError("Too many validation errors, error limit reached. Validation aborted.")]
    return Verdict(found, overlapping.compared)


def _spread_each_other(document: DocumentNode) -> bool:
    """Tell whether a fragment spreads itself, directly or through others."""
    spreads: Mapping[str, set[str]] = {
        node.name.value: _spreads(node.selection_set)
        for node in document.definitions
        if isinstance(node, FragmentDefinitionNode)
    }
    left = {name: {other for other in others if other in spreads} for name, others in spreads.items()}
    while True:
        ends = {name for name, others in left.items() if not others}
        if not ends:
            return bool(left)
        left = {name: others - ends for name, others in left.items() if name not in ends}


def _spreads(selection_set: SelectionSetNode) -> set[str]:
    found: set[str] = set()
    pending: list[Node] = [selection_set]
    while pending:
        node = pending.pop()
        if isinstance(node, FragmentSpreadNode):
            found.add(node.name.value)
        elif isinstance(node, SelectionSetNode):
            pending += node.selections
        elif (inner := getattr(node, "selection_set", None)) is not None:
            pending.append(inner)
    return found
