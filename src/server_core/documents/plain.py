"""A parsed document → whether it is valid in a plain way, told in one short walk. Called by check, before graphql-core.

graphql-core runs some thirty rules over every node, which is most of what a new document costs. Nearly all documents
are valid and use little of the language: for these one walk is enough. It says yes only if none of graphql-core's rules
(but the one for fields that overlap) would complain; whatever it does not know (subscriptions, fragments on interfaces,
variables in objects that are scalars, deep nesting …) it leaves to them, and every error as well.
"""

from collections.abc import Mapping, Sequence, Set
from typing import Final

from graphql import (
    ArgumentNode,
    DirectiveNode,
    DocumentNode,
    EnumValueNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    InlineFragmentNode,
    ListValueNode,
    NullValueNode,
    ObjectFieldNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    StringValueNode,
    Undefined,
    ValueNode,
    VariableNode,
    get_named_type,
    is_input_type,
    is_leaf_type,
    is_required_argument,
    is_required_input_field,
    is_type_sub_type_of,
    type_from_ast,
)

_DEEPEST: Final = 40
"""Of selections and of values: beyond that, graphql-core may find that it cannot follow."""
_DIRECTIVES: Final = frozenset({"include", "skip"})

_Composite = GraphQLObjectType | GraphQLInterfaceType


class _Unsure(Exception):
    """The document may be invalid."""


def plainly_valid(schema: GraphQLSchema, document: DocumentNode) -> bool:
    """Tell whether a document is valid for sure, but for fields that overlap; False if graphql-core must be asked."""
    operations = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    fragments = [each for each in document.definitions if isinstance(each, FragmentDefinitionNode)]
    names = {each.name.value if each.name is not None else "" for each in operations}
    by_name = {each.name.value: each for each in fragments}
    if (
        len(operations) + len(fragments) != len(document.definitions)
        or not operations
        or len(names) != len(operations)
        or ("" in names and len(operations) > 1)
        or len(by_name) != len(fragments)
        or len(fragments) > _DEEPEST
    ):
        return False
    spread: set[str] = set()
    try:
        for operation in operations:
            spread |= _Walk(schema, by_name, operation).spread
    except (_Unsure, RecursionError):
        return False
    return spread == by_name.keys()


class _Walk:
    """A walk through one operation and the fragments that it spreads, each once."""

    def __init__(
        self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode], operation: OperationDefinitionNode
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._open: set[str] = set()
        self._walked: dict[str, int] = {}
        self._used: set[str] = set()
        self._variables: dict[str, GraphQLInputType] = {}
        root = schema.get_root_type(operation.operation)
        if root is None or operation.operation is OperationType.SUBSCRIPTION or operation.directives:
            raise _Unsure
        self._variables = self._declared(operation)
        self._selections(operation.selection_set, root, 0)
        if self._used != self._variables.keys():
            raise _Unsure

    @property
    def spread(self) -> Set[str]:
        """The names of the fragments that the operation spreads."""
        return self._walked.keys()

    def _declared(self, operation: OperationDefinitionNode) -> dict[str, GraphQLInputType]:
        types: dict[str, GraphQLInputType] = {}
        for definition in operation.variable_definitions or ():
            type = type_from_ast(self._schema, definition.type)
            name = definition.variable.name.value
            if name in types or type is None or not is_input_type(type) or definition.directives:
                raise _Unsure
            if definition.default_value is not None:
                self._value(definition.default_value, type, 0)
            types[name] = type
        return types

    def _selections(self, selection_set: SelectionSetNode, parent: _Composite, depth: int) -> None:
        if depth > _DEEPEST:
            raise _Unsure
        for selection in selection_set.selections:
            if selection.directives:
                self._directives(selection.directives)
            if isinstance(selection, FieldNode):
                self._field(selection, parent, depth)
            elif isinstance(selection, FragmentSpreadNode):
                self._spread(selection, parent, depth)
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                if condition is not None and condition.name.value != parent.name:
                    raise _Unsure
                self._selections(selection.selection_set, parent, depth + 1)
            else:
                raise _Unsure

    def _field(self, node: FieldNode, parent: _Composite, depth: int) -> None:
        name = node.name.value
        if name == "__typename":
            if node.selection_set is not None or node.arguments:
                raise _Unsure
            return
        field = parent.fields.get(name)
        if field is None:
            raise _Unsure
        if node.arguments or field.args:
            self._given(field.args, node.arguments or (), 0)
        type = get_named_type(field.type)
        if isinstance(type, _Composite):
            if node.selection_set is None:
                raise _Unsure
            self._selections(node.selection_set, type, depth + 1)
        elif node.selection_set is not None or not is_leaf_type(type):
            raise _Unsure

    def _spread(self, node: FragmentSpreadNode, parent: _Composite, depth: int) -> None:
        name = node.name.value
        fragment = self._fragments.get(name)
        if (
            fragment is None
            or name in self._open
            or node.arguments
            or fragment.directives
            or fragment.variable_definitions
            or fragment.type_condition.name.value != parent.name
        ):
            raise _Unsure
        if name in self._walked:
            if depth > self._walked[name]:
                raise _Unsure
            return
        self._walked[name] = depth
        self._open.add(name)
        self._selections(fragment.selection_set, parent, depth + 1)
        self._open.remove(name)

    def _directives(self, directives: Sequence[DirectiveNode]) -> None:
        names = [directive.name.value for directive in directives]
        if len(set(names)) != len(names) or not _DIRECTIVES.issuperset(names):
            raise _Unsure
        for directive, name in zip(directives, names, strict=True):
            definition = self._schema.get_directive(name)
            if definition is None:
                raise _Unsure
            self._given(definition.args, directive.arguments or (), 0)

    def _given(
        self,
        expected: Mapping[str, GraphQLArgument] | Mapping[str, GraphQLInputField],
        nodes: Sequence[ArgumentNode] | Sequence[ObjectFieldNode],
        depth: int,
    ) -> None:
        """Look at arguments, or at the fields of an object."""
        given: set[str] = set()
        for node in nodes:
            name = node.name.value
            each = expected.get(name)
            if each is None or name in given:
                raise _Unsure
            given.add(name)
            self._value(node.value, each.type, depth)
        if len(given) < len(expected):
            for name, each in expected.items():
                if isinstance(each.type, GraphQLNonNull) and name not in given and _is_required(each):
                    raise _Unsure

    def _value(self, node: ValueNode, type: GraphQLInputType, depth: int) -> None:
        if depth > _DEEPEST:
            raise _Unsure
        if isinstance(node, VariableNode):
            declared = self._variables.get(node.name.value)
            if declared is None or not is_type_sub_type_of(self._schema, declared, type):
                raise _Unsure
            self._used.add(node.name.value)
            return
        if isinstance(type, GraphQLNonNull):
            type = type.of_type
            if isinstance(node, NullValueNode):
                raise _Unsure
        elif isinstance(node, NullValueNode):
            return
        if isinstance(type, GraphQLList):
            for item in node.values if isinstance(node, ListValueNode) else (node,):
                self._value(item, type.of_type, depth + 1)
        elif isinstance(type, GraphQLInputObjectType):
            if not isinstance(node, ObjectValueNode) or type.is_one_of:
                raise _Unsure
            self._given(type.fields, node.fields, depth + 1)
        elif isinstance(type, GraphQLEnumType):
            if not isinstance(node, EnumValueNode) or node.value not in type.values:
                raise _Unsure
        else:
            self._scalar(node, type)

    @staticmethod
    def _scalar(node: ValueNode, type: GraphQLScalarType) -> None:
        if not isinstance(node, StringValueNode):
            _check_constant(node, 0)
        try:
            coerce = type.coerce_input_literal
            value = type.parse_literal(node) if coerce is None else coerce(node)  # type: ignore[arg-type]
        except Exception as error:
            raise _Unsure from error
        if value is Undefined:
            raise _Unsure


def _check_constant(node: ValueNode, depth: int) -> None:
    """See to it that a value holds no variable, and objects in it no key twice."""
    if depth > _DEEPEST or isinstance(node, VariableNode):
        raise _Unsure
    if isinstance(node, ListValueNode):
        for item in node.values:
            _check_constant(item, depth + 1)
    elif isinstance(node, ObjectValueNode):
        if len({field.name.value for field in node.fields}) != len(node.fields):
            raise _Unsure
        for field in node.fields:
            _check_constant(field.value, depth + 1)


def _is_required(each: GraphQLArgument | GraphQLInputField) -> bool:
    return is_required_argument(each) if isinstance(each, GraphQLArgument) else is_required_input_field(each)
