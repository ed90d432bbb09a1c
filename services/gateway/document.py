"""Turns a document's text into a plan: parsed, validated, split, remembered. Called by app for every request; pure.

Documents that differ only in literal values share a plan (server_core.shape): what is planned is an outline, and a plan
is an outline applied to a text. An outline keeps no syntax tree (a tree is some fifty times the size of its text). What
is not the same for all documents of a shape (an error, a literal out of range) is left to planning anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    visit,
)

from server_core.documents.cache import BoundedCache, Doorkeeper
from server_core.documents.check import judged
from server_core.documents.limits import excess
from server_core.documents.memory import PER_LITERAL, ShapeMemory, Stats
from server_core.documents.reading import read
from server_core.documents.slots import Slots, learn
from server_core.shape import Mark, Shape, cut
from server_core.wire import Parsed
from services.gateway.fitting import Fitting
from services.gateway.refusal import INTERNAL, PARSE_FAILED, VALIDATION_FAILED, Refusal
from services.gateway.split import (
    Fragments,
    Root,
    RootField,
    Step,
    groups,
    narrow,
    opened_size,
    opens_fragments,
    root_fields,
    split,
)
from services.gateway.stitch import Owner, StitchedSchema
from services.gateway.templates import Blanks, Located, filled, marks
from services.gateway.variables import Variable, check, declared

TOKEN_LIMIT = 100_000
"""Most tokens of a document. The 1.x client writes the id of every finished task run of a flow run into a query."""
ALIAS_LIMIT = 1_000
OPENED_LIMIT = 20_000
"""Most root selections of an operation, with its fragments opened: a few of them may stand for any number."""
_PLANS = 2_000
_PLANNED_CHARACTERS = 4_000_000
_LONGEST_PLANNED = 64_000
LONG = 8_000
"""Documents of more characters are planned in a thread: the slowest take a second."""
_LONGEST_RECALLED = 50_000
"""Longer texts are not looked up in the event loop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """What to do for one operation of every document of a shape.

    Attributes:
        kind: query, mutation or subscription.
        fields: the keys of the answer, in the order of the document, with the places of the document that was planned.
        places: their places in all documents of the shape.
        steps: the upstream calls that bring them; their texts have holes for the literals.
        whole: who can be sent the client's text and variables as they are, if anybody; the one step then has neither.
        variables: what the operation declares, with the places of the document that was planned.
        declarations: their places in all documents of the shape.
    """

    kind: OperationType
    fields: tuple[RootField, ...]
    places: tuple[Mark, ...]
    steps: tuple[Step, ...]
    whole: Owner | None
    variables: tuple[Variable, ...]
    declarations: tuple[Mark, ...]


class Plan:
    """What to do for one operation of one document.

    Args:
        outline: what all documents of its shape have in common.
        text: the document.
        shape: the document's; None if it is the very document that was planned and has no literals.
        tree: its syntax tree, of a plan that is not remembered.

    Attributes:
        kind: query, mutation or subscription.
        whole: who can be sent the client's text and variables as they are, if anybody.
        parsed: the syntax tree for a data service in this process, if the document was parsed just now and is short.
    """

    __slots__ = ("_outline", "_shape", "_steps", "_text", "kind", "parsed", "whole")

    def __init__(self, outline: Outline, text: str, shape: Shape | None, tree: DocumentNode | None = None) -> None:
        self._outline = outline
        self._text = text
        self._shape = shape
        self._steps: tuple[Step, ...] | None = None
        self.kind = outline.kind
        self.whole = outline.whole
        self.parsed: Parsed | None = None
        if tree is not None and len(text) <= LONG and self.reads and self.whole is Owner.DATA:
            self.parsed = Parsed(text, tree)

    @property
    def shape(self) -> Shape | None:
        """That of the document, if it has literals."""
        return self._shape

    @property
    def reads(self) -> bool:
        """Whether running it twice is harmless."""
        return self.kind is OperationType.QUERY

    @property
    def empty(self) -> bool:
        """Whether there is nothing to ask anybody."""
        return not self._outline.steps

    @property
    def roots(self) -> Sequence[Root]:
        """The keys of the answer, in the order of the document."""
        return self._outline.fields

    @property
    def fields(self) -> Sequence[RootField]:
        """The keys of the answer, with their places in the document."""
        return Located(self._outline.fields, self._outline.places, self._text, self._shape)

    @property
    def variables(self) -> Sequence[Variable]:
        """What the operation declares, with the places in the document."""
        return Located(self._outline.variables, self._outline.declarations, self._text, self._shape)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The upstream calls that bring the fields. One that is for the whole has the document's text."""
        if self._steps is None:
            literals = self._shape.literals if self._shape is not None else ()
            unchanged = self.whole is not None and self.kind is not OperationType.SUBSCRIPTION
            self._steps = tuple(
                Step(
                    owner=step.owner,
                    fields=self._located(step.fields),
                    text=self._text if unchanged else filled(step.text, literals),
                    variables=step.variables,
                )
                for step in self._outline.steps
            )
        return self._steps

    def check(self, values: Mapping[str, Any]) -> None:
        """Check values of variables; see variables.check."""
        try:
            check(self._outline.variables, values)
        except Refusal:
            check(self.variables, values)
            raise

    def _located(self, fields: Sequence[RootField]) -> Sequence[RootField]:
        if len(fields) == len(self._outline.fields):
            return self.fields
        places = dict(zip(self._outline.fields, self._outline.places, strict=False))
        return Located(fields, [places[each] for each in fields] if places else (), self._text, self._shape)


@dataclass(frozen=True, kw_only=True)
class Documents:
    """Plans documents against one schema, and remembers the plans.

    Attributes:
        stitched: the schema.
        depth_limit: deepest field allowed; a root field has depth 0.
        token_limit: most tokens of a document, and most comments.
        alias_limit: most aliases of a document.
        introspection: whether documents may ask for `__schema` and `__type`.
        remember: whether plans are remembered at all.
        stats: how often plans were recalled, by text or by shape.
    """

    stitched: StitchedSchema
    depth_limit: int
    token_limit: int = TOKEN_LIMIT
    alias_limit: int = ALIAS_LIMIT
    introspection: bool = True
    remember: bool = True
    stats: Stats = field(default_factory=Stats)
    _fitting: Fitting = field(default_factory=Fitting)
    _texts: BoundedCache[tuple[str, str | None], Plan] = field(
        default_factory=lambda: BoundedCache(entries=_PLANS, weight=_PLANNED_CHARACTERS, heaviest=_LONGEST_PLANNED)
    )
    _doorkeeper: Doorkeeper = field(default_factory=Doorkeeper)
    """Texts with literals are kept, beside their shapes, if they come again: a page's do, a flow run's do not."""
    _shapes: ShapeMemory[Outline] = field(
        default_factory=lambda: ShapeMemory(entries=_PLANS, characters=_PLANNED_CHARACTERS, longest=_LONGEST_PLANNED)
    )

    def __len__(self) -> int:
        """How many plans are remembered."""
        return len(self._texts) + len(self._shapes)

    def known(self, text: str, operation_name: str | None) -> Plan | None:
        """Return the plan of a short text if this text, or one of its shape, was planned before."""
        return None if len(text) > _LONGEST_RECALLED else self._recalled(text, operation_name)

    def plan(self, text: str, operation_name: str | None) -> Plan:
        """Parse, validate and split a document, or recall what came of it.

        Args:
            text: the document.
            operation_name: which of its operations to plan; None if it has only one.

        Raises:
            Refusal: syntax, validation or depth error, or no such operation; status 400 (data-api.md §3.3).
        """
        shape = cut(text) if self.remember else None
        plan = self._recalled(text, operation_name, shape)
        return self._planned(text, operation_name, shape) if plan is None else plan

    def separate(self, text: str, operation_name: str | None, step: Step) -> tuple[Step, ...]:
        """Divide a step of a planned document further: one step per key of the answer."""
        document = read(text)
        operation, fragments = _selected(document, operation_name), _fragments(document)
        return tuple(narrow(operation, fragments, [each]) for each in step.fields)

    def _recalled(self, text: str, operation_name: str | None, shape: Shape | None = None) -> Plan | None:
        plan = self._texts.get((text, operation_name))
        if plan is not None:
            self.stats.hits += 1
            return plan
        if shape is None and self.remember:
            shape = cut(text)
        if shape is None or not shape.literals:
            return None
        outline = self._shapes.get(shape, operation_name)
        if outline is None or (len(text) > self.token_limit and shape.most_tokens > self.token_limit):
            return None
        self.stats.hits += 1
        plan = Plan(outline, text, shape)
        if self._doorkeeper.knows((text, operation_name)):
            self._texts.put((text, operation_name), plan, _weight(text, shape))
        return plan

    def _planned(self, text: str, operation_name: str | None, shape: Shape | None) -> Plan:
        if shape is not None and shape.literals and self._shapes.knows(shape, operation_name):
            self.stats.unfit += 1
        else:
            self.stats.misses += 1
        document, compared = self._valid(text)
        operation = _selected(document, operation_name)
        if opened_size(operation, _fragments(document)) > OPENED_LIMIT:
            problem = GraphQLError("The fragments of the operation open to too many fields.", operation)
            raise Refusal.of([problem], VALIDATION_FAILED)
        slots = learn(self.stitched.schema, document, shape, compared) if shape is not None and shape.literals else None
        if shape is None or slots is None:
            outline = self._outline(document, operation_name, text, None, None)
            if self.remember:
                self._texts.put((text, operation_name), Plan(outline, text, None), len(text))
            return Plan(outline, text, None, document)
        outline = self._outline(document, operation_name, text, shape, slots)
        self._shapes.put(shape, slots, outline, operation_name)
        return Plan(outline, text, shape, document)

    def _outline(
        self, document: DocumentNode, operation_name: str | None, text: str, shape: Shape | None, slots: Slots | None
    ) -> Outline:
        operation, fragments = _selected(document, operation_name), _fragments(document)
        kind = operation.operation
        fields = root_fields(self.stitched, operation, fragments)
        variables = declared(self.stitched.schema, operation.variable_definitions or (), self._fitting)
        alone = len(document.definitions) == 1 + len(fragments) and not opens_fragments(operation)
        parts = groups(kind, fields)
        whole = parts[0][0].owner if len(parts) == 1 and alone and parts[0][0].owner is not Owner.GATEWAY else None
        if whole is not None and kind is not OperationType.SUBSCRIPTION:  # the client's own text and variables will do
            steps: tuple[Step, ...] = (Step(owner=whole, fields=fields, text="", variables=frozenset()),)
        else:
            if slots is not None:
                blank: DocumentNode = visit(document, Blanks(slots))
                operation, fragments = _selected(blank, operation_name), _fragments(blank)
            steps = split(operation, fragments, fields)
        return Outline(
            kind=kind,
            fields=fields,
            places=marks(fields, text, shape) if shape is not None else (),
            steps=steps,
            whole=whole,
            variables=variables,
            declarations=marks(variables, text, shape) if shape is not None else (),
        )

    def _valid(self, text: str) -> tuple[DocumentNode, Sequence[FieldNode]]:
        """Return the document, and the fields whose arguments were compared with those of others."""
        try:
            document = read(text, tokens=self.token_limit, comments=self.token_limit)
        except GraphQLError as error:
            raise Refusal.of([error], PARSE_FAILED) from error
        complaint = excess(document, aliases=self.alias_limit)
        if complaint is not None:
            raise Refusal.of([GraphQLError(complaint)], VALIDATION_FAILED)
        verdict = judged(self.stitched.schema, document, introspection=self.introspection)
        found = verdict.problems or exceeding(document, self.depth_limit)
        if found:
            raise Refusal.of(found, VALIDATION_FAILED)
        return document, verdict.compared


def _weight(text: str, shape: Shape) -> int:
    """Return what a plan weighs that is kept with its text: the text, its pieces, what is written from them."""
    return 3 * len(text) + PER_LITERAL * len(shape.literals)


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
