"""An error of graphql-core → our error: its message, and the path Hasura would give. Called by request."""

from graphql import DocumentNode, FieldNode, FragmentDefinitionNode, GraphQLError, Node
from graphql.language.ast import ArgumentNode, ListValueNode, ObjectFieldNode

from services.data.errors import DataError, ParseFailed, ValidationFailed

_OUT_OF_RANGE = "non 32-bit"


def rejection(error: GraphQLError, document: DocumentNode | None) -> DataError:
    """Return a validation error as Hasura words its place: `$.selectionSet.flow.args.where`.

    Args:
        error: what graphql-core found.
        document: where to look for the node; None if the error is not about the document's text.
    """
    path = "$"
    if document is not None and error.nodes:
        path = _path_to(error.nodes[0], document) or "$"
    kind = ParseFailed if _OUT_OF_RANGE in error.message or "32-bit integer" in error.message else ValidationFailed
    return kind(error.message, path=path)


def _path_to(wanted: Node, node: Node, path: str = "$") -> str | None:
    """Find a node in the tree below another; None if it is not there."""
    match node:
        case FieldNode():
            path = f"{path}.selectionSet.{node.alias.value if node.alias else node.name.value}"
        case ArgumentNode():
            path = f"{path}.args.{node.name.value}"
        case ObjectFieldNode():
            path = f"{path}.{node.name.value}"
        case FragmentDefinitionNode():
            path = f"$.fragments.{node.name.value}"
    if node is wanted:
        return path
    for number, child in enumerate(_children(node)):
        step = f"{path}[{number}]" if isinstance(node, ListValueNode) else path
        found = _path_to(wanted, child, step)
        if found is not None:
            return found
    return None


def _children(node: Node) -> list[Node]:
    children: list[Node] = []
    for key in node.keys:
        value = getattr(node, key, None)
        if isinstance(value, Node):
            children.append(value)
        elif isinstance(value, list | tuple):
            children.extend(item for item in value if isinstance(item, Node))
    return children
