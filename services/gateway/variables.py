"""Turns the variable values of a request into a verdict: fit for the operation, or refused. Called by app; pure.

The values are checked here against the united schema and then sent on as they came; the upstream that uses them
coerces them again (data-api.md §3.2, §3.3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLInputType,
    GraphQLSchema,
    Undefined,
    VariableDefinitionNode,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    type_from_ast,
)
from graphql.pyutils import print_path_list
from graphql.utilities import coerce_input_value, validate_input_value

from services.gateway.fitting import DEEPEST, Fits, Fitting
from services.gateway.refusal import INTERNAL, Refusal
from services.gateway.split import place

_NESTING_LIMIT = 200
_MOST_PROBLEMS = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Variable:
    """A variable that an operation declares.

    Attributes:
        name: without the dollar sign.
        type: what its value must be.
        fits: a quick test of its type.
        has_default: whether the operation gives a value for when the client gives none.
        line, column: where it is declared.
    """

    name: str
    type: GraphQLInputType
    fits: Fits = field(repr=False, compare=False)
    has_default: bool
    line: int
    column: int


def declared(
    schema: GraphQLSchema, definitions: Sequence[VariableDefinitionNode], fitting: Fitting
) -> tuple[Variable, ...]:
    """Read the variable definitions of a validated operation.

    Args:
        schema: it is valid in.
        definitions: of the operation.
        fitting: tests for the types of this schema.
    """
    found = []
    for definition in definitions:
        line, column = place(definition)
        type_: GraphQLInputType = type_from_ast(schema, definition.type)  # type: ignore[assignment]
        found.append(
            Variable(
                name=definition.variable.name.value,
                type=type_,
                fits=fitting.test(type_),
                has_default=definition.default_value is not None,
                line=line,
                column=column,
            )
        )
    return tuple(found)


def check(variables: Sequence[Variable], values: Mapping[str, Any]) -> None:
    """Check that the values fit what the operation declares; values for undeclared names are ignored.

    Raises:
        Refusal: a value is missing or ill-typed; status 400, one entry per problem, `Variable "$x" …`.
    """
    problems: list[dict[str, Any]] = []
    for variable in variables:
        value = values.get(variable.name, Undefined)
        if value is Undefined:
            if is_non_null_type(variable.type) and not variable.has_default:
                _report(problems, variable, f" of required type '{variable.type}' was not provided.")
        elif variable.fits(value, DEEPEST):
            continue
        elif _too_deep(value, variable.type):
            _report(problems, variable, " is nested too deeply.")
        elif coerce_input_value(value, variable.type) is Undefined:
            _explain(problems, variable, value)
    if problems:
        raise Refusal(problems[:_MOST_PROBLEMS])


def _explain(problems: list[dict[str, Any]], variable: Variable, value: object) -> None:
    def report(error: GraphQLError, path: list[str | int]) -> None:
        _report(problems, variable, f" has invalid value{print_path_list(path)}: {error.message}")

    validate_input_value(value, variable.type, report)


def _report(problems: list[dict[str, Any]], variable: Variable, text: str) -> None:
    problems.append(
        {
            "message": f'Variable "${variable.name}"{text}',
            "locations": [{"line": variable.line, "column": variable.column}],
            "extensions": {"code": INTERNAL},
        }
    )


def _too_deep(value: object, type_: GraphQLInputType) -> bool:
    """Tell whether coercing would recurse too deeply; only nesting that the type follows counts."""
    stack: list[tuple[Any, Any, int]] = [(value, type_, 0)]
    while stack:
        item, kind, depth = stack.pop()
        if depth > _NESTING_LIMIT:
            return True
        if is_non_null_type(kind):
            kind = kind.of_type
        if is_list_type(kind):
            if isinstance(item, list):
                stack.extend((member, kind.of_type, depth + 1) for member in item)
            elif is_input_object_type(kind.of_type) or is_list_type(kind.of_type):
                stack.append((item, kind.of_type, depth + 1))
        elif is_input_object_type(kind) and isinstance(item, dict):
            stack.extend((item[name], field.type, depth + 1) for name, field in kind.fields.items() if name in item)
    return False
