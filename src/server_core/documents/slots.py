"""A valid document and its shape → which literals matter for more than their kind. Called by whoever plans documents.

A plan made for one document serves every other of its shape if the new literals would have passed validation as well,
and if it does not hold values of the old ones. So, of every literal, is learned once:
- whether an Int is expected. Its range is the only thing about a value that any leaf type of ours looks at; what else
  decides (ID takes an int but not a float, an enum takes no string, a JSON scalar takes anything) is the kind, and that
  is part of the shape;
- whether it decides the verdict or the plan: arguments of fields that are compared with each other must be equal, and
  defaults of variables are read when the document is planned. Such literals are *pinned*: they are part of the key.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    SKIP,
    DocumentNode,
    FloatValueNode,
    GraphQLInt,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    Node,
    StringValueNode,
    TypeInfo,
    TypeInfoVisitor,
    ValueNode,
    VariableDefinitionNode,
    Visitor,
    VisitorAction,
    get_named_type,
    visit,
)

from server_core.documents.overlap import overlaps
from server_core.shape import Shape

_SURE_LENGTH: Final = 9
"""So many digits and signs are always a 32-bit integer."""
_LONGEST_INT: Final = 11
_INT_RANGE: Final = range(-(2**31), 2**31)


@dataclass(frozen=True, kw_only=True, slots=True)
class Slots:
    """What is to be known about the literals of a shape.

    Attributes:
        pinned: numbers of those that are part of the key.
        integers: numbers of those that must be 32-bit integers.
        at: numbers by the offset where the literal starts, in the document this was learned from.
        runs: of these offsets, those of runs: each is the whole content of a list.
    """

    pinned: tuple[int, ...]
    integers: tuple[int, ...]
    at: Mapping[int, int]
    runs: frozenset[int]

    def number(self, node: ValueNode) -> int | None:
        """Return the number of the literal that a node of that document is, or that a list consists of."""
        if isinstance(node, ListValueNode):
            node = node.values[0] if node.values else node
            return self.at[node.loc.start] if node.loc is not None and node.loc.start in self.runs else None
        return self.at.get(node.loc.start) if node.loc is not None else None

    def key(self, shape: Shape) -> Hashable:
        """Return what all documents have in common that one plan serves."""
        return shape.key, tuple([shape.literals[number] for number in self.pinned])

    def fit(self, shape: Shape) -> bool:
        """Tell whether the literals are valid where they stand."""
        return all(_is_int(shape.literals[number]) for number in self.integers)


def learn(schema: GraphQLSchema, document: DocumentNode, shape: Shape) -> Slots | None:
    """Return what is to be known of a document's literals; None if its plan is for this text alone.

    Args:
        document: parsed with locations, valid against the schema.
        shape: that of its text.
    """
    starts = shape.starts
    ends = {start: start + len(literal) for start, literal in zip(starts, shape.literals, strict=True)}
    types = TypeInfo(schema)
    reader = _Reader(types, ends)
    visit(document, TypeInfoVisitor(types, reader))
    if reader.found.keys() != ends.keys():
        return None
    numbers = {start: number for number, start in enumerate(starts)}
    compared = [node for field in overlaps(schema, document).compared for node in field.arguments or ()]
    spans = [(node.loc.start, node.loc.end) for node in (*compared, *reader.defaults) if node.loc is not None]
    return Slots(
        pinned=tuple(
            number for start, number in numbers.items() if any(first <= start < last for first, last in spans)
        ),
        integers=tuple(numbers[start] for start, integer in reader.found.items() if integer),
        at=numbers,
        runs=frozenset(reader.runs),
    )


class _Reader(Visitor):
    """Finds the values that are the literals; notes of each whether it must be an Int."""

    def __init__(self, types: TypeInfo, ends: Mapping[int, int]) -> None:
        super().__init__()
        self._types = types
        self._ends = ends
        self.found: dict[int, bool] = {}
        self.runs: set[int] = set()
        self.defaults: list[VariableDefinitionNode] = []

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: Any) -> None:
        if node.default_value is not None:
            self.defaults.append(node)

    def enter_list_value(self, node: ListValueNode, *_: Any) -> VisitorAction:
        """A run of literals is a list's whole content."""
        if len(node.values) < 2 or not self._take(node.values[0], node.values[-1]):
            return None
        if node.values[0].loc is not None:
            self.runs.add(node.values[0].loc.start)
        return SKIP

    def enter_string_value(self, node: StringValueNode, *_: Any) -> None:
        self._take(node, node)

    def enter_int_value(self, node: IntValueNode, *_: Any) -> None:
        self._take(node, node)

    def enter_float_value(self, node: FloatValueNode, *_: Any) -> None:
        self._take(node, node)

    def _take(self, first: Node, last: Node) -> bool:
        if first.loc is None or last.loc is None or self._ends.get(first.loc.start) != last.loc.end:
            return False
        self.found[first.loc.start] = get_named_type(self._types.get_input_type()) is GraphQLInt
        return True


def _is_int(literal: str) -> bool:
    """Tell whether every integer of a literal, one or a run of them, has 32 bits."""
    if len(literal) <= _SURE_LENGTH:
        return True
    return all(
        len(each) <= _SURE_LENGTH or (len(each) <= _LONGEST_INT and int(each) in _INT_RANGE)
        for each in literal.replace(",", " ").replace("\ufeff", " ").split()
    )
