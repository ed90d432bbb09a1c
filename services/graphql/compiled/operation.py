"""A valid document → a Plan that answers every document of its shape. Made by documents, run by app."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, cast

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLInputType,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    Undefined,
    VariableDefinitionNode,
    type_from_ast,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter

from server_core.documents.slots import Slots
from services.graphql.compiled.answers import TYPE_NAME, Answer, answerer, plain_fields
from services.graphql.compiled.inputs import MISSING, Coerce, Misfit, Uncompilable, coercer
from services.graphql.compiled.literals import Source, Sources
from services.graphql.context import RequestContext

Arguments = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Info:
    """What resolvers use of strawberry's `Info`."""

    context: RequestContext


@dataclass(frozen=True, kw_only=True, slots=True)
class RootField:
    """A root field of an operation.

    Attributes:
        key: in the answer.
        name: of the field.
        arguments: by the resolver's names; each with whether it may be left out.
        resolve: the resolver.
        informed: the resolver takes `info`.
        answer: writes its result.
    """

    key: str
    name: str
    arguments: tuple[tuple[str, Source], ...]
    resolve: Callable[..., Awaitable[Any]]
    informed: bool
    answer: Answer

    def read(self, literals: Sequence[str], variables: Mapping[str, Any]) -> Arguments:
        """Return what the resolver is given; raises if something does not fit."""
        arguments = {name: source(literals, variables) for name, source in self.arguments}
        return {name: value for name, value in arguments.items() if value is not MISSING}

    def run(self, info: Info, arguments: Arguments) -> Awaitable[Any]:
        """Begin the resolver; its object is the root, which is nothing."""
        if self.informed:
            return self.resolve(None, info=info, **arguments)
        return self.resolve(None, **arguments)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Variable:
    name: str
    coerce: Coerce
    required: bool
    default: Source | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to do for every document of a shape.

    Attributes:
        name: of the operation.
        mutates: it is a mutation.
        fields: its root fields, in order.
    """

    name: str | None
    mutates: bool
    fields: tuple[RootField, ...]
    variables: tuple[_Variable, ...]

    def read(self, literals: Sequence[str], values: Mapping[str, Any]) -> list[Arguments]:
        """Return what the resolver of each root field is given.

        Args:
            literals: of the document, as they are written.
            values: of the variables, decoded JSON.

        Raises:
            Exception: something does not fit; graphql-core knows what.
        """
        coerced: dict[str, Any] = {}
        for each in self.variables:
            value = values.get(each.name, MISSING)
            if value is not MISSING:
                coerced[each.name] = each.coerce(value)
            elif each.default is not None:
                coerced[each.name] = each.default((), {})
            elif each.required:
                raise Misfit
        return [field.read(literals, coerced) for field in self.fields]

    def answer(self, outcomes: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is answered, by key.

        Args:
            outcomes: by key, what the resolvers returned or raised.

        Raises:
            Exception: one was raised, or does not fit what the schema promises.
        """
        answers = {}
        for field in self.fields:
            outcome = outcomes[field.key]
            if isinstance(outcome, Exception):
                raise outcome
            answers[field.key] = field.answer(outcome)
        return answers


def compile_operation(schema: GraphQLSchema, document: DocumentNode, slots: Slots | None) -> Plan | None:
    """Return the plan of a document; None if it is left to graphql-core.

    That are fragments, directives, fields to be merged, several operations, queries of several fields (which run at the
    same time), `__schema`, and JSON written out in a document.

    Args:
        document: valid, parsed with locations.
        slots: what was learned of the literals in its text; None: it has none.
    """
    try:
        return _compiled(schema, document, slots)
    except Uncompilable:
        return None


def _compiled(schema: GraphQLSchema, document: DocumentNode, slots: Slots | None) -> Plan:
    if len(document.definitions) != 1:
        raise Uncompilable("several definitions")
    operation = cast(OperationDefinitionNode, document.definitions[0])
    root = schema.get_root_type(operation.operation)
    mutates = operation.operation is OperationType.MUTATION
    nodes = plain_fields(operation.selection_set)
    if root is None or operation.directives or not (mutates or len(nodes) == 1):
        raise Uncompilable(operation.operation.value)
    sources = Sources(slots)
    plan = Plan(
        name=operation.name.value if operation.name is not None else None,
        mutates=mutates,
        fields=tuple(_root_field(root, key, node, sources) for key, node in nodes.items()),
        variables=tuple(_variable(schema, each) for each in operation.variable_definitions or ()),
    )
    if slots is not None and sources.used | {*slots.pinned} != {*slots.at.values()}:
        raise Uncompilable("a literal that nobody reads")
    return plan


def _root_field(root: GraphQLObjectType, key: str, node: FieldNode, sources: Sources) -> RootField:
    name = node.name.value
    if name.startswith("__"):
        raise Uncompilable(TYPE_NAME)
    field = root.fields[name]
    definition = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    resolver = definition and definition.base_resolver
    if resolver is None or not iscoroutinefunction(resolver.wrapped_func) or definition.extensions:
        raise Uncompilable(name)
    written = {each.name.value: each.value for each in node.arguments or ()}
    arguments = []
    for argument, defined in field.args.items():
        value = written.get(argument)
        if defined.default_value is not Undefined or defined.default is not None:
            raise Uncompilable(argument)
        if value is not None:
            python_name = defined.extensions[GraphQLCoreConverter.DEFINITION_BACKREF].python_name
            arguments.append((python_name, sources.source(value, defined.type)))
    return RootField(
        key=key,
        name=name,
        arguments=tuple(arguments),
        resolve=resolver.wrapped_func,
        informed="info" in resolver.signature.parameters,
        answer=answerer(field.type, node.selection_set),
    )


def _variable(schema: GraphQLSchema, node: VariableDefinitionNode) -> _Variable:
    type_ = cast(GraphQLInputType, type_from_ast(schema, node.type))
    if node.directives:
        raise Uncompilable("a directive")
    return _Variable(
        name=node.variable.name.value,
        coerce=coercer(type_),
        required=str(type_).endswith("!"),
        default=None if node.default_value is None else Sources(None).source(node.default_value, type_),
    )
