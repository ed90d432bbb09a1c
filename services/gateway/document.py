"""Turns a document's text into a plan: parsed, validated, split, remembered. Called by app for every request; pure.

A plan keeps no syntax tree (a tree is some fifty times the size of its text): only what the next request with the
same text needs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    parse,
    specified_rules,
    validate,
)

from services.gateway.cache import BoundedCache
from services.gateway.refusal import INTERNAL, PARSE_FAILED, VALIDATION_FAILED, Refusal
from services.gateway.split import Fragments, RootField, Step, narrow, opened_size, opens_fragments, root_fields, split
from services.gateway.stitch import Owner, StitchedSchema
from services.gateway.variables import Variable, declared

TOKEN_LIMIT = 100_000
"""Most tokens of a document. The 1.x client writes the id of every finished task run of a flow run into a query."""
OPENED_LIMIT = 20_000
"""Most root selections of an operation, with its fragments opened: a few of them may stand for any number."""
_PLANS = 2_000
_PLANNED_CHARACTERS = 4_000_000
_LONGEST_PLANNED = 64_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to do for one operation of one document.

    Attributes:
        kind: query, mutation or subscription.
        fields: the keys of the answer, in the order of the document.
        steps: the upstream calls that bring them.
        whole: who can be sent the client's text and variables as they are, if anybody.
        variables: what the operation declares.
    """

    kind: OperationType
    fields: tuple[RootField, ...]
    steps: tuple[Step, ...]
    whole: Owner | None
    variables: tuple[Variable, ...]

    @property
    def reads(self) -> bool:
        """Whether running it twice is harmless."""
        return self.kind is OperationType.QUERY


@dataclass(frozen=True, kw_only=True)
class Documents:
    """Plans documents against one schema, and remembers the plans.

    Attributes:
        stitched: the schema.
        depth_limit: deepest field allowed; a root field has depth 0.
        token_limit: most tokens of a document, and most comments.
        introspection: whether documents may ask for `__schema` and `__type`.
    """

    stitched: StitchedSchema
    depth_limit: int
    token_limit: int = TOKEN_LIMIT
    introspection: bool = True
    _plans: BoundedCache[tuple[str, str | None], Plan] = field(
        default_factory=lambda: BoundedCache(entries=_PLANS, weight=_PLANNED_CHARACTERS, heaviest=_LONGEST_PLANNED)
    )

    def known(self, text: str, operation_name: str | None) -> Plan | None:
        """Return the plan if this text was planned before."""
        return self._plans.get((text, operation_name))

    def plan(self, text: str, operation_name: str | None) -> Plan:
        """Parse, validate and split a document, or recall what came of it.

        Args:
            text: the document.
            operation_name: which of its operations to plan; None if it has only one.

        Raises:
            Refusal: syntax, validation or depth error, or no such operation; status 400 (data-api.md §3.3).
        """
        plan = self._plans.get((text, operation_name))
        if plan is None:
            plan = self._planned(text, operation_name)
            self._plans.put((text, operation_name), plan, len(text))
        return plan

    def separate(self, text: str, operation_name: str | None, step: Step) -> tuple[Step, ...]:
        """Divide a step of a planned document further: one step per key of the answer."""
        document = parse(text)
        operation, fragments = _selected(document, operation_name), _fragments(document)
        return tuple(narrow(operation, fragments, [each]) for each in step.fields)

    def _planned(self, text: str, operation_name: str | None) -> Plan:
        document = self._valid(text)
        operation, fragments = _selected(document, operation_name), _fragments(document)
        if opened_size(operation, fragments) > OPENED_LIMIT:
            problem = GraphQLError("The fragments of the operation open to too many fields.", operation)
            raise Refusal.of([problem], VALIDATION_FAILED)
        kind = operation.operation
        fields = root_fields(self.stitched, operation, fragments)
        steps = split(operation, fragments, fields)
        alone = len(document.definitions) == 1 + len(fragments) and not opens_fragments(operation)
        return Plan(
            kind=kind,
            fields=fields,
            steps=steps,
            whole=steps[0].owner if len(steps) == 1 and alone and steps[0].owner is not Owner.GATEWAY else None,
            variables=declared(self.stitched.schema, operation.variable_definitions or ()),
        )

    def _valid(self, text: str) -> DocumentNode:
        try:
            document = parse(text, max_lexical_tokens=self.token_limit, max_comments=self.token_limit)
        except GraphQLError as error:
            raise Refusal.of([error], PARSE_FAILED) from error
        rules = specified_rules if self.introspection else (*specified_rules, NoSchemaIntrospectionCustomRule)
        problems = validate(self.stitched.schema, document, rules) or exceeding(document, self.depth_limit)
        if problems:
            raise Refusal.of(problems, VALIDATION_FAILED)
        return document


def _fragments(document: DocumentNode) -> Fragments:
    return {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}


def _selected(document: DocumentNode, operation_name: str | None) -> OperationDefinitionNode:
    operations = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    if operation_name is None:
        if len(operations) == 1:
            return operations[0]
        if operations:
            raise Refusal.plain("Must provide operation name if query contains multiple operations.", code=INTERNAL)
        raise Refusal.plain("Must provide an operation.", code=INTERNAL)
    for operation in operations:
        if operation.name is not None and operation.name.value == operation_name:
            return operation
    raise Refusal.plain(f'Unknown operation named "{operation_name}".', code=INTERNAL)


def exceeding(document: DocumentNode, limit: int) -> list[GraphQLError]:
    """Find operations that nest fields deeper than the limit, one error each (data-api.md §3.1).

    A root field has depth 0. Leaf fields count, the trees below `__schema` and `__type` do not, fragments count where
    they are spread. The document must be valid (no cycles of fragments).
    """
    fragments = _fragments(document)
    errors = []
    for operation in document.definitions:
        if isinstance(operation, OperationDefinitionNode):
            node = _too_deep(operation.selection_set, fragments, limit)
            if node is not None:
                name = operation.name.value if operation.name else ""
                errors.append(GraphQLError(f"'{name}' exceeds maximum operation depth of {limit}", node))
    return errors


def _too_deep(
    selection_set: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode], limit: int
) -> FieldNode | None:
    """Return a field deeper than the limit. Each fragment is walked once per depth, however often it is spread."""
    walked: set[tuple[str, int]] = set()
    pending = [(selection_set, 0)]
    while pending:
        selections, depth = pending.pop()
        for selection in selections.selections:
            if isinstance(selection, FieldNode):
                if depth > limit:
                    return selection
                if selection.selection_set and not selection.name.value.startswith("__"):
                    pending.append((selection.selection_set, depth + 1))
            elif isinstance(selection, InlineFragmentNode):
                pending.append((selection.selection_set, depth))
            elif isinstance(selection, FragmentSpreadNode):
                name = selection.name.value
                if (name, depth) not in walked:
                    walked.add((name, depth))
                    pending.append((fragments[name].selection_set, depth))
    return None
