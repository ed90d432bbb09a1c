"""How large a document may be → a refusal of one that is larger, before it is validated. Called by request.

Depth and number of fields are counted with fragments spread, each fragment once: one that spreads another twice, which
does so again, costs no more to refuse than to read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from graphql import DocumentNode, FieldNode, FragmentDefinitionNode, FragmentSpreadNode, OperationDefinitionNode
from graphql import SelectionSetNode as SelectionSet

from server_core.documents.limits import excess
from server_core.shape import Shape
from services.data.errors import ValidationFailed

_INTROSPECTION: Final = frozenset({"__schema", "__type"})
"""Their depth has a limit of its own in graphql-core."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What settings allow.

    Attributes:
        depth: deepest field, a root field having depth 0 as in the gateway.
        nodes: most fields in one operation.
        document: longest document, in bytes.
        tokens: longest document, in tokens; checking one of so many takes about a second.
        aliases: most aliases, as written.
    """

    depth: int = 50
    nodes: int = 10_000
    document: int = 16 * 1024 * 1024
    tokens: int = 100_000
    aliases: int = 1_000

    def check_text(self, text: str) -> None:
        """Check a document before it is parsed.

        Raises:
            ValidationFailed: it is too long.
        """
        # Few documents are long enough to need counting: a character takes at most four bytes.
        if len(text) * 4 > self.document and len(text.encode(errors="replace")) > self.document:
            raise ValidationFailed(f"the query is longer than {self.document} bytes", path="$.query")

    def surely_hold(self, shape: Shape) -> bool:
        """Tell whether a document is short enough, one of its shape being so; False if only reading it can tell."""
        size = len(shape.text)
        return (size * 4 <= self.document or len(shape.text.encode(errors="replace")) <= self.document) and (
            size <= self.tokens or shape.most_tokens <= self.tokens
        )

    def check_selections(self, document: DocumentNode) -> None:
        """Check every operation of a document that is parsed, but may not be valid.

        Raises:
            ValidationFailed: one is too deep or selects too many fields, or there are too many aliases.
        """
        complaint = excess(document, aliases=self.aliases)
        if complaint is not None:
            raise ValidationFailed(complaint)
        fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
        measure = _Measure(fragments)
        for node in document.definitions:
            if not isinstance(node, OperationDefinitionNode):
                continue
            name = node.name.value if node.name else ""
            levels, nodes = measure.of(node.selection_set)
            if levels - 1 > self.depth:
                raise ValidationFailed(f"'{name}' exceeds maximum operation depth of {self.depth}")
            if nodes > self.nodes:
                raise ValidationFailed(f"'{name}' exceeds maximum number of fields of {self.nodes}")


class _Measure:
    """Measures selection sets; a fragment that spreads itself counts as nothing, validation refuses it."""

    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._sizes: dict[str, tuple[int, int]] = {}

    def of(self, selections: SelectionSet) -> tuple[int, int]:
        """Return how many levels of fields there are, and how many fields."""
        levels = nodes = 0
        for selection in selections.selections:
            if isinstance(selection, FieldNode):
                nodes += 1
                below = 0
                if selection.selection_set is not None:
                    below, inner = self.of(selection.selection_set)
                    nodes += inner
                    if selection.name.value in _INTROSPECTION:
                        below = 0
                if below >= levels:
                    levels = below + 1
                continue
            if isinstance(selection, FragmentSpreadNode):
                below, inner = self._fragment(selection.name.value)
            else:
                below, inner = self.of(selection.selection_set)  # type: ignore[attr-defined]
            levels, nodes = max(levels, below), nodes + inner
        return levels, nodes

    def _fragment(self, name: str) -> tuple[int, int]:
        if name not in self._sizes:
            self._sizes[name] = 0, 0
            fragment = self._fragments.get(name)
            if fragment is not None:
                self._sizes[name] = self.of(fragment.selection_set)
        return self._sizes[name]
