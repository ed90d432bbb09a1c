"""A parsed document → whether it asks for more than is allowed, told before it is validated. Called by planners."""

from typing import Final

from graphql import DocumentNode, FieldNode, Node, SelectionSetNode

MOST_SCHEMAS: Final = 20
"""Most `__schema` and `__type` fields of a document: one full introspection takes half a second."""

_META: Final = frozenset({"__schema", "__type"})


def excess(document: DocumentNode, *, aliases: int) -> str | None:
    """Return a complaint, or None.

    Args:
        document: may be invalid.
        aliases: most aliases, as written.
    """
    aliased = schemas = 0
    pending: list[Node] = [*document.definitions]
    while pending:
        node = pending.pop()
        inner = getattr(node, "selection_set", None)
        if isinstance(inner, SelectionSetNode):
            pending += inner.selections
        if isinstance(node, FieldNode):
            aliased += node.alias is not None
            schemas += node.name.value in _META
    if aliased > aliases:
        return f"The document has more than {aliases} aliases."
    if schemas > MOST_SCHEMAS:
        return f"The document asks for the schema more than {MOST_SCHEMAS} times."
    return None
