"""Turns one validated operation into sub-operations, one per upstream call. Called by document; pure.

A query becomes at most one step per owner, all independent. A mutation becomes steps in written order: neighbours of
the actions go together (each of its fields commits by itself), a data mutation goes alone (one request is one
transaction there), so that every root field keeps its own commit (data-api.md §3.2).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    InlineFragmentNode,
    Node,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    Visitor,
    is_non_null_type,
    print_ast,
    visit,
)

from services.gateway.stitch import Owner, StitchedSchema

Fragments = Mapping[str, FragmentDefinitionNode]


@dataclass(frozen=True, kw_only=True, slots=True)
class Root:
    """A key of the answer's `data`.

    Attributes:
        key: the alias, or the name where there is none.
        name: name of the field.
        owner: who answers it.
        nullable: whether it may be null when it fails.
    """

    key: str
    name: str
    owner: Owner
    nullable: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class RootField(Root):
    """A key of the answer, and where the client's document asks for it."""

    line: int
    column: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One call of one upstream.

    Attributes:
        owner: whom to ask.
        fields: the keys that the answer must bring.
        text: the document to send.
        variables: names of the variables to send with it, where the client gave a value.
    """

    owner: Owner
    fields: Sequence[RootField]
    text: str
    variables: frozenset[str]


def place(node: Node) -> tuple[int, int]:
    """Return line and column of a node of a parsed document, both counted from 1."""
    if node.loc is None:
        return 1, 1
    return node.loc.start_token.line, node.loc.start_token.column


def root_fields(
    stitched: StitchedSchema, operation: OperationDefinitionNode, fragments: Fragments
) -> tuple[RootField, ...]:
    """List the keys an operation asks for, in the order of the document, fragments opened where they are spread."""
    kind = operation.operation
    root = stitched.schema.get_root_type(kind)
    found: dict[str, RootField] = {}
    for node in _fields(operation.selection_set, fragments):
        key = node.alias.value if node.alias else node.name.value
        if key not in found:
            found[key] = _root_field(stitched, kind, root, key, node)
    return tuple(found.values())


def _root_field(
    stitched: StitchedSchema, kind: OperationType, root: GraphQLObjectType | None, key: str, node: FieldNode
) -> RootField:
    name = node.name.value
    definition = root.fields.get(name) if root is not None else None
    line, column = place(node)
    return RootField(
        key=key,
        name=name,
        owner=stitched.owner(kind, name),
        nullable=name == "__type" or (definition is not None and not is_non_null_type(definition.type)),
        line=line,
        column=column,
    )


def _fields(selection_set: SelectionSetNode, fragments: Fragments, opened: set[str] | None = None) -> list[FieldNode]:
    """List the fields of a root selection, each fragment opened where it is spread first."""
    opened = set() if opened is None else opened
    found: list[FieldNode] = []
    for selection in selection_set.selections:
        if isinstance(selection, FieldNode):
            found.append(selection)
        elif isinstance(selection, InlineFragmentNode):
            found += _fields(selection.selection_set, fragments, opened)
        elif isinstance(selection, FragmentSpreadNode) and selection.name.value not in opened:
            opened.add(selection.name.value)
            found += _fields(fragments[selection.name.value].selection_set, fragments, opened)
    return found


def opened_size(operation: OperationDefinitionNode, fragments: Fragments) -> int:
    """Count the root selections of an operation with fragments opened where they are spread, each fragment read once.

    A fragment that spreads another twice, which does so again, opens to more than can ever be written out.
    """
    sizes: dict[str, int] = {}

    def size(selection_set: SelectionSetNode) -> int:
        total = 0
        for selection in selection_set.selections:
            if isinstance(selection, InlineFragmentNode):
                total += size(selection.selection_set)
            elif isinstance(selection, FragmentSpreadNode):
                name = selection.name.value
                if name not in sizes:
                    sizes[name] = size(fragments[name].selection_set)
                total += sizes[name]
        return total + len(selection_set.selections)

    return size(operation.selection_set)


def split(operation: OperationDefinitionNode, fragments: Fragments, fields: Sequence[RootField]) -> tuple[Step, ...]:
    """Divide an operation among the owners of its root fields.

    Args:
        operation: a validated query or mutation.
        fragments: the document's fragments by name.
        fields: what root_fields found in it.

    Returns:
        The steps, in the order in which a mutation must take them.
    """
    return tuple(narrow(operation, fragments, group) for group in groups(operation.operation, fields))


def groups(kind: OperationType, fields: Sequence[RootField]) -> list[list[RootField]]:
    """Return the fields of each step, in the order in which a mutation must take them."""
    if kind is OperationType.MUTATION:
        return _neighbours(fields)
    by_owner: dict[Owner, list[RootField]] = {}
    for field in fields:
        by_owner.setdefault(field.owner, []).append(field)
    return list(by_owner.values())


def _neighbours(fields: Sequence[RootField]) -> list[list[RootField]]:
    groups: list[list[RootField]] = []
    for field in fields:
        if groups and groups[-1][-1].owner is field.owner and field.owner is not Owner.DATA:
            groups[-1].append(field)
        else:
            groups.append([field])
    return groups


def narrow(operation: OperationDefinitionNode, fragments: Fragments, fields: Sequence[RootField]) -> Step:
    """Cut an operation down to some of its keys, with only the fragments and variables that these use.

    Root-level fragments are written out, because an upstream's root type may have another name.
    """
    keys = {field.key for field in fields}
    selection_set = SelectionSetNode(selections=tuple(_kept(operation.selection_set, fragments, keys)))
    used = _Used(fragments)
    visit(selection_set, used)
    definitions = tuple(
        definition
        for definition in operation.variable_definitions or ()
        if definition.variable.name.value in used.variables
    )
    document = DocumentNode(
        definitions=(
            OperationDefinitionNode(
                operation=operation.operation, variable_definitions=definitions, selection_set=selection_set
            ),
            *(fragment for name, fragment in fragments.items() if name in used.fragments),
        )
    )
    return Step(
        owner=fields[0].owner, fields=tuple(fields), text=print_ast(document), variables=frozenset(used.variables)
    )


def _kept(
    selection_set: SelectionSetNode, fragments: Fragments, keys: Collection[str], opened: set[str] | None = None
) -> list[SelectionNode]:
    """Cut a root selection down to some keys, its fragments written out.

    What was written out is not written out again: the same fields once more change nothing, but fragments that spread
    each other twice would stand for thousands of them.

    Args:
        opened: the spreads that are written out whenever this selection is asked for; those found are added.
    """
    opened = set() if opened is None else opened
    kept: list[SelectionNode] = []
    for selection in selection_set.selections:
        if isinstance(selection, FieldNode):
            if (selection.alias or selection.name).value in keys:
                kept.append(selection)
        elif isinstance(selection, InlineFragmentNode):
            inner = set(opened) if selection.directives else opened
            kept += _inlined(_kept(selection.selection_set, fragments, keys, inner), selection.directives)
        elif isinstance(selection, FragmentSpreadNode):
            name = selection.name.value
            spread = " ".join([name, *map(print_ast, selection.directives or ())])
            if name in opened or spread in opened:
                continue
            opened.add(spread)
            inner = set(opened) if selection.directives else opened
            kept += _inlined(_kept(fragments[name].selection_set, fragments, keys, inner), selection.directives)
    return kept


def _inlined(selections: list[SelectionNode], directives: tuple[DirectiveNode, ...] | None) -> list[SelectionNode]:
    """Keep the conditions of a fragment around what is left of it; without conditions it needs no fragment."""
    if not selections or not directives:
        return selections
    return [InlineFragmentNode(directives=directives, selection_set=SelectionSetNode(selections=tuple(selections)))]


class _Used(Visitor):
    """Collects the variables and fragments that a selection needs, through the fragments it spreads."""

    def __init__(self, fragments: Fragments) -> None:
        super().__init__()
        self._known = fragments
        self.fragments: set[str] = set()
        self.variables: set[str] = set()

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.variables.add(node.name.value)

    def enter_fragment_spread(self, node: FragmentSpreadNode, *_: Any) -> None:
        name = node.name.value
        if name not in self.fragments:
            self.fragments.add(name)
            opened: Node = self._known[name].selection_set
            visit(opened, self)


def opens_fragments(operation: OperationDefinitionNode) -> bool:
    """Tell whether the root selection holds fragments; they may name the gateway's root type, unknown upstream."""
    return any(not isinstance(selection, FieldNode) for selection in operation.selection_set.selections)
