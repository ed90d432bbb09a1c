"""An output type and what is selected of it → a function: a resolver's result → what is answered. Called by operation.

What is returned has only dictionaries, lists and what the scalars write; a result that does not fit its type raises.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    SelectionSetNode,
    Undefined,
    is_leaf_type,
    is_list_type,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter

from services.graphql.compiled.inputs import Misfit, Uncompilable

Answer = Callable[[Any], Any]

TYPE_NAME: Final = "__typename"
_BACKREF: Final = GraphQLCoreConverter.DEFINITION_BACKREF


def answerer(type_: GraphQLOutputType, selection_set: SelectionSetNode | None) -> Answer:
    """Return what writes the results of a field.

    Raises:
        Uncompilable: the selection has something that is left to graphql-core.
    """
    if isinstance(type_, GraphQLNonNull):
        raise Uncompilable("what may not be null")
    present = _present(type_, selection_set)
    return lambda result: None if result is None else present(result)


def plain_fields(selection_set: SelectionSetNode) -> dict[str, FieldNode]:
    """Return the fields of a selection by their key in the answer, in order.

    Raises:
        Uncompilable: there are fragments or directives, or two fields have one key.
    """
    fields: dict[str, FieldNode] = {}
    for node in selection_set.selections:
        if not isinstance(node, FieldNode) or node.directives:
            raise Uncompilable("a fragment or a directive")
        key = node.alias.value if node.alias is not None else node.name.value
        if key in fields:
            raise Uncompilable("fields to be merged")
        fields[key] = node
    return fields


def _present(type_: GraphQLOutputType, selection_set: SelectionSetNode | None) -> Answer:
    """Return the same for results other than None."""
    if is_list_type(type_):
        item_type = type_.of_type
        if isinstance(item_type, GraphQLNonNull):
            item = _present(item_type.of_type, selection_set)
        else:
            item = answerer(item_type, selection_set)
        nullable = not isinstance(item_type, GraphQLNonNull)

        def many(result: Any) -> list[Any]:
            if type(result) is not list or not (nullable or None not in result):
                raise Misfit
            return [item(each) for each in result]

        return many
    if isinstance(type_, GraphQLObjectType) and selection_set is not None:
        return _object(type_, selection_set)
    if not is_leaf_type(type_):
        raise Uncompilable(str(type_))
    write = type_.coerce_output_value

    def scalar(result: Any) -> Any:
        if isinstance(result, Exception):
            raise Misfit
        written = write(result)
        if written is None or written is Undefined:
            raise Misfit
        return written

    return scalar


def _object(type_: GraphQLObjectType, selection_set: SelectionSetNode) -> Answer:
    if type_.is_type_of is not None:
        raise Uncompilable(type_.name)
    members: list[tuple[str, Answer]] = []
    for key, node in plain_fields(selection_set).items():
        if node.name.value == TYPE_NAME:
            members.append((key, _constant(type_.name)))
            continue
        field = type_.fields[node.name.value]
        members.append((key, _attribute(_attribute_of(field, node), answerer(field.type, node.selection_set))))

    def build(result: Any) -> dict[str, Any]:
        if isinstance(result, Exception):
            raise Misfit
        return {key: member(result) for key, member in members}

    return build


def _attribute_of(field: GraphQLField, node: FieldNode) -> str:
    definition = field.extensions.get(_BACKREF)
    if definition is None or not definition.is_basic_field or node.arguments:
        raise Uncompilable(node.name.value)
    name: str = definition.python_name
    return name


def _attribute(name: str, answer: Answer) -> Answer:
    read = attrgetter(name)
    return lambda result: answer(read(result))


def _constant(value: str) -> Answer:
    return lambda _result: value
