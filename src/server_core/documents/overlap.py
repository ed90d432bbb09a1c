"""A document → the fields of one response key in one object, and the conflicts among them. Called by check and slots.

Whether fields can be merged is decided in groups, as Simon Adameit described ("Fast GraphQL validation"), not pair by
pair as the specification words it: all fields of one response key in one object are looked at once, then what they
select, taken together, is the object one level down. Two walks that are one as long as no fields of different object
types meet: shapes must agree for all fields of a key, names and arguments for those that may apply to the same object.
The cost is that of reading the document with its fragments opened, which is bounded.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLNamedType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
    ValueNode,
    VariableNode,
    get_named_type,
    is_interface_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)

MOST_FIELDS: Final = 50_000
"""Most fields looked at, those of fragments once for each place where they are spread."""


class Met(NamedTuple):
    """A field where it is selected: the type it is selected on and its own, None if unknown."""

    parent: GraphQLNamedType | None
    node: FieldNode
    type: GraphQLOutputType | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlaps:
    """What was found.

    Attributes:
        conflicts: one error for each response key whose fields cannot be merged.
        compared: fields whose arguments were compared with those of others.
        fields: how many fields were looked at.
        exhausted: the document opens to more than may be looked at; nothing is said about the rest.
    """

    conflicts: Sequence[GraphQLError]
    compared: Sequence[FieldNode]
    fields: int
    exhausted: bool


class _Scope(NamedTuple):
    """Selections that make up one object; `shapes` and `names` say what is to be compared there."""

    selections: list[tuple[GraphQLNamedType | None, SelectionSetNode]]
    shapes: bool
    names: bool


def overlaps(schema: GraphQLSchema, document: DocumentNode, *, most: int = MOST_FIELDS) -> Overlaps:
    """Compare the fields of a document that has no cycles of fragments; it may be invalid otherwise."""
    return _Walk(schema, document, most).run()


class _Walk:
    def __init__(self, schema: GraphQLSchema, document: DocumentNode, most: int) -> None:
        self._schema = schema
        self._document = document
        self._most = most
        self._fields = 0
        self._fragments: Mapping[str, FragmentDefinitionNode] = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self._opened: set[str] = set()
        self._conflicts: dict[int, GraphQLError] = {}
        self._compared: dict[int, FieldNode] = {}
        self._arguments: dict[int, Hashable] = {}

    def run(self) -> Overlaps:
        exhausted = False
        for scope in self._roots():
            pending = [scope]
            while pending and not exhausted:
                pending += self._below(pending.pop())
                exhausted = self._fields > self._most
        return Overlaps(
            conflicts=list(self._conflicts.values()),
            compared=list(self._compared.values()),
            fields=self._fields,
            exhausted=exhausted,
        )

    def _roots(self) -> Iterator[_Scope]:
        """Yield the operations, then the fragments that none of them spreads."""
        for node in self._document.definitions:
            if isinstance(node, OperationDefinitionNode):
                root = self._schema.get_root_type(node.operation)
                yield _Scope([(root, node.selection_set)], True, True)
        for name, fragment in self._fragments.items():
            if name not in self._opened:
                on = self._schema.get_type(fragment.type_condition.name.value)
                yield _Scope([(on, fragment.selection_set)], True, True)

    def _below(self, scope: _Scope) -> Iterator[_Scope]:
        """Compare the fields of a scope; yield the scopes that they open."""
        for key, nodes in self._met(scope.selections).items():
            if len(nodes) == 1:  # as most do, and most of these select nothing
                if nodes[0][1].selection_set is not None:
                    yield from _opened([self._field(*nodes[0])], scope.shapes, scope.names)
                continue
            fields = [self._field(parent, node) for parent, node in nodes]
            together = _applicable(fields) if scope.names else []
            if scope.shapes:
                self._compare_shapes(key, fields)
            for some in together:
                self._compare_names(key, some)
            if len(together) == 1:
                yield from _opened(fields, scope.shapes, True)
                continue
            if scope.shapes:
                yield from _opened(fields, True, False)
            for some in together:
                yield from _opened(some, False, True)

    def _met(
        self, selections: list[tuple[GraphQLNamedType | None, SelectionSetNode]]
    ) -> dict[str, list[tuple[GraphQLNamedType | None, FieldNode]]]:
        """Return the fields of an object, and what they are selected on, by response key; fragments are opened once."""
        found: dict[str, list[tuple[GraphQLNamedType | None, FieldNode]]] = {}
        spread: set[str] = set()
        pending = selections[::-1]
        while pending:
            parent, selection_set = pending.pop()
            inner: list[tuple[GraphQLNamedType | None, SelectionSetNode]] = []
            for selection in selection_set.selections:
                if isinstance(selection, FieldNode):
                    self._fields += 1
                    key = (selection.alias or selection.name).value
                    if key in found:
                        found[key].append((parent, selection))
                    else:
                        found[key] = [(parent, selection)]
                elif isinstance(selection, InlineFragmentNode):
                    on = selection.type_condition
                    inner.append((self._schema.get_type(on.name.value) if on else parent, selection.selection_set))
                elif isinstance(selection, FragmentSpreadNode):
                    fragment = self._fragments.get(selection.name.value)
                    if fragment is not None and fragment.name.value not in spread:
                        spread.add(fragment.name.value)
                        self._opened.add(fragment.name.value)
                        inner.append(
                            (self._schema.get_type(fragment.type_condition.name.value), fragment.selection_set)
                        )
            self._fields += len(inner)
            if self._fields > self._most:
                break
            pending += reversed(inner)
        return found

    def _field(self, parent: GraphQLNamedType | None, node: FieldNode) -> Met:
        type = None
        if is_object_type(parent) or is_interface_type(parent):
            definition = self._schema.get_field(parent, node.name.value)
            type = definition.type if definition else None
        return Met(parent, node, type)

    def _compare_shapes(self, key: str, fields: Sequence[Met]) -> None:
        known = [field for field in fields if field.type is not None]
        for field in known[1:]:
            if _differ(known[0].type, field.type):
                reason = f"they return conflicting types '{known[0].type}' and '{field.type}'"
                self._conflict(key, reason, known[0].node, field.node)
                return

    def _compare_names(self, key: str, fields: Sequence[Met]) -> None:
        if len(fields) == 1:
            return
        first = fields[0].node
        for field in fields[1:]:
            if field.node.name.value != first.name.value:
                reason = f"'{first.name.value}' and '{field.node.name.value}' are different fields"
                self._conflict(key, reason, first, field.node)
                return
        if any(field.node.arguments for field in fields):
            self._compared.update((id(field.node), field.node) for field in fields)
            for field in fields[1:]:
                if self._written(field.node) != self._written(first):
                    self._conflict(key, "they have differing arguments", first, field.node)
                    return

    def _written(self, node: FieldNode) -> Hashable:
        known = self._arguments.get(id(node))
        if known is None:
            known = frozenset((each.name.value, _structure(each.value)) for each in node.arguments or ())
            self._arguments[id(node)] = known
        return known

    def _conflict(self, key: str, reason: str, first: FieldNode, second: FieldNode) -> None:
        message = (
            f"Fields '{key}' conflict because {reason}."
            " Use different aliases on the fields to fetch both if this was intentional."
        )
        self._conflicts.setdefault(id(second), GraphQLError(message, [first, second]))


def _opened(fields: Sequence[Met], shapes: bool, names: bool) -> Iterator[_Scope]:
    """Yield what these fields select, taken together."""
    selections = [
        (get_named_type(field.type) if field.type is not None else None, field.node.selection_set)
        for field in fields
        if field.node.selection_set
    ]
    if selections and (shapes or names):
        yield _Scope(selections, shapes, names)


def _applicable(fields: Sequence[Met]) -> list[list[Met]]:
    """Divide fields into those that may apply to the same object; fields on abstract types are in every part."""
    first = fields[0].parent
    if all(field.parent is first for field in fields):
        return [list(fields)]
    everywhere = [field for field in fields if not is_object_type(field.parent)]
    concrete: dict[str, list[Met]] = {}
    for field in fields:
        if is_object_type(field.parent):
            concrete.setdefault(field.parent.name, list(everywhere)).append(field)
    return list(concrete.values()) or [everywhere]


def _structure(node: ValueNode) -> Hashable:
    """Return what makes two written values equal: their text, but for the order of an object's fields."""
    match node:
        case ListValueNode():
            return "list", tuple([_structure(item) for item in node.values])
        case ObjectValueNode():
            return "object", frozenset((field.name.value, _structure(field.value)) for field in node.fields)
        case VariableNode():
            return "variable", node.name.value
        case StringValueNode():
            return "string", node.value, bool(node.block)
    return node.kind, getattr(node, "value", None)


def _differ(one: GraphQLOutputType | None, other: GraphQLOutputType | None) -> bool:
    """Say whether two types cannot stand in the same place of an answer."""
    while True:
        if (is_list_type(one) and is_list_type(other)) or (is_non_null_type(one) and is_non_null_type(other)):
            one, other = one.of_type, other.of_type
        elif is_list_type(one) or is_list_type(other) or is_non_null_type(one) or is_non_null_type(other):
            return True
        else:
            return (is_leaf_type(one) or is_leaf_type(other)) and one is not other
