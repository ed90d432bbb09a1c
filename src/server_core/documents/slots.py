"""A valid document and its shape → which literals matter for more than their kind. Called by whoever plans documents.

A plan made for one document serves every other of its shape if the new literals would have passed validation as well,
and if it does not hold values of the old ones. So, of every literal, is learned once:
- whether an Int is expected. Its range is the only thing about a value that any leaf type of ours looks at; what else
  decides (ID takes an int but not a float, an enum takes no string, a JSON scalar takes anything) is the kind, and that
  is part of the shape;
- whether it decides the verdict or the plan: arguments of fields that are compared with each other must be equal, and
  defaults of variables are read when the document is planned. Such literals are *pinned*: they are part of the key.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FloatValueNode,
    FragmentDefinitionNode,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLNamedType,
    GraphQLSchema,
    GraphQLType,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    Node,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
    ValueNode,
    VariableDefinitionNode,
    get_named_type,
    is_composite_type,
    type_from_ast,
)

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


def learn(schema: GraphQLSchema, document: DocumentNode, shape: Shape, compared: Sequence[FieldNode]) -> Slots | None:
    """Return what is to be known of a document's literals; None if its plan is for this text alone.

    Args:
        document: parsed with locations, valid against the schema.
        shape: that of its text.
        compared: fields whose arguments were compared with those of others when it was validated.
    """
    starts = shape.starts
    ends = {start: start + len(literal) for start, literal in zip(starts, shape.literals, strict=True)}
    reader = _Reader(schema, ends)
    reader.read(document)
    if reader.found.keys() != ends.keys():
        return None
    numbers = {start: number for number, start in enumerate(starts)}
    arguments = [node for field in compared for node in field.arguments or ()]
    spans = [(node.loc.start, node.loc.end) for node in (*arguments, *reader.defaults) if node.loc is not None]
    return Slots(
        pinned=tuple(
            number for start, number in numbers.items() if any(first <= start < last for first, last in spans)
        ),
        integers=tuple(numbers[start] for start, integer in reader.found.items() if integer),
        at=numbers,
        runs=frozenset(reader.runs),
    )


class _Reader:
    """Finds the values of a valid document that are the literals; notes of each whether it must be an Int.

    It walks by itself: graphql-core's visitor with TypeInfo looks at every node and costs five times as much. A value
    that it misses is no danger, for then a literal is left that is not found.

    Attributes:
        found: whether the literal that starts there must be an Int, or each of a run.
        runs: where runs start; a run is a list's whole content.
        defaults: the definitions of variables that have one.
    """

    def __init__(self, schema: GraphQLSchema, ends: Mapping[int, int]) -> None:
        self._schema = schema
        self._ends = ends
        self.found: dict[int, bool] = {}
        self.runs: set[int] = set()
        self.defaults: list[VariableDefinitionNode] = []

    def read(self, document: DocumentNode) -> None:
        """Read all definitions."""
        for definition in document.definitions:
            if isinstance(definition, OperationDefinitionNode):
                for variable in definition.variable_definitions or ():
                    self._directives(variable.directives)
                    if variable.default_value is not None:
                        self.defaults.append(variable)
                        self._value(variable.default_value, type_from_ast(self._schema, variable.type))
                root: GraphQLNamedType | None = self._schema.get_root_type(definition.operation)
            elif isinstance(definition, FragmentDefinitionNode):
                root = self._schema.get_type(definition.type_condition.name.value)
            else:
                continue
            self._directives(definition.directives)
            self._selections(definition.selection_set, root)

    def _selections(self, selection_set: SelectionSetNode, parent: GraphQLNamedType | None) -> None:
        for selection in selection_set.selections:
            if selection.directives:
                self._directives(selection.directives)
            if isinstance(selection, FieldNode):
                if not selection.arguments and selection.selection_set is None:
                    continue
                field = self._schema.get_field(parent, selection.name.value) if is_composite_type(parent) else None
                for argument in selection.arguments or ():
                    expected = field.args.get(argument.name.value) if field is not None else None
                    self._value(argument.value, expected.type if expected is not None else None)
                if selection.selection_set is not None:
                    self._selections(selection.selection_set, get_named_type(field.type) if field is not None else None)
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                on = parent if condition is None else self._schema.get_type(condition.name.value)
                self._selections(selection.selection_set, on)

    def _directives(self, directives: Sequence[DirectiveNode] | None) -> None:
        for directive in directives or ():
            definition = self._schema.get_directive(directive.name.value)
            for argument in directive.arguments or ():
                expected = definition.args.get(argument.name.value) if definition is not None else None
                self._value(argument.value, expected.type if expected is not None else None)

    def _value(self, node: ValueNode, type: GraphQLType | None) -> None:
        if isinstance(node, ListValueNode):
            values = node.values
            if len(values) > 1 and self._take(values[0], values[-1], type):
                if values[0].loc is not None:
                    self.runs.add(values[0].loc.start)
                return
            for item in values:
                self._value(item, type)
        elif isinstance(node, ObjectValueNode):
            named = get_named_type(type) if type is not None else None
            fields = named.fields if isinstance(named, GraphQLInputObjectType) else {}
            for field in node.fields:
                expected = fields.get(field.name.value)
                self._value(field.value, expected.type if expected is not None else None)
        elif isinstance(node, StringValueNode | IntValueNode | FloatValueNode):
            self._take(node, node, type)

    def _take(self, first: Node, last: Node, type: GraphQLType | None) -> bool:
        if first.loc is None or last.loc is None or self._ends.get(first.loc.start) != last.loc.end:
            return False
        self.found[first.loc.start] = type is not None and get_named_type(type) is GraphQLInt
        return True


def _is_int(literal: str) -> bool:
    """Tell whether every integer of a literal, one or a run of them, has 32 bits."""
    if len(literal) <= _SURE_LENGTH:
        return True
    return all(
        len(each) <= _SURE_LENGTH or (len(each) <= _LONGEST_INT and int(each) in _INT_RANGE)
        for each in literal.replace(",", " ").replace("\ufeff", " ").split()
    )
