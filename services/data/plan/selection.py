"""Selection sets → fields by response key: fragments spread, `include` and `skip` applied, equal keys merged."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from graphql import DirectiveNode, FieldNode, FragmentDefinitionNode, FragmentSpreadNode, SelectionSetNode

from services.data.errors import ValidationFailed
from services.data.plan.given import Given, Scope, read

LONGEST_KEY: Final = 63
"""Below the root a response key becomes the name of a column, and Postgres cuts longer ones."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selected:
    """One response key: its alias, its nodes (more than one when merged) and where it stands in the document."""

    alias: str
    nodes: Sequence[FieldNode]
    path: str

    @property
    def name(self) -> str:
        """The name of the field in the schema."""
        return self.nodes[0].name.value

    def arguments(self, scope: Scope) -> dict[str, Given]:
        """Return the arguments that were given and are not null, in written order."""
        arguments: dict[str, Given] = {}
        for argument in self.nodes[0].arguments or ():
            given = read(argument.value, scope)
            if given is not None and not given.is_null():
                arguments[argument.name.value] = given
        return arguments

    def required(self, name: str, scope: Scope) -> Given:
        """Return an argument that may not be null. (A nullable variable with a default may stand there, and be null.)

        Raises:
            ValidationFailed: it is null.
        """
        given = self.arguments(scope).get(name)
        if given is None:
            raise ValidationFailed("unexpected null value", path=f"{self.path}.args.{name}")
        return given


@dataclass(frozen=True, kw_only=True, slots=True)
class Selections:
    """Reads selection sets of one operation."""

    fragments: Mapping[str, FragmentDefinitionNode]
    scope: Scope

    def root(self, selection_set: SelectionSetNode) -> list[Selected]:
        """Return the root fields."""
        return self._collect((selection_set,), "$")

    def of(self, field: Selected) -> list[Selected]:
        """Return the fields selected under a field."""
        fields = self._collect((node.selection_set for node in field.nodes if node.selection_set), field.path)
        for selected in fields:
            if len(selected.alias) > LONGEST_KEY:
                raise ValidationFailed(f"an alias may have at most {LONGEST_KEY} characters", path=selected.path)
        return fields

    def _collect(self, sets: Iterable[SelectionSetNode], path: str) -> list[Selected]:
        nodes: dict[str, list[FieldNode]] = {}
        for selection_set in sets:
            for node in self._fields(selection_set):
                nodes.setdefault(node.alias.value if node.alias else node.name.value, []).append(node)
        return [Selected(alias=alias, nodes=same, path=f"{path}.selectionSet.{alias}") for alias, same in nodes.items()]

    def _fields(self, selection_set: SelectionSetNode) -> Iterator[FieldNode]:
        # Every composite type of the schema is an object type: a fragment that validates always applies.
        for selection in selection_set.selections:
            if not self._included(selection.directives or ()):
                continue
            if isinstance(selection, FieldNode):
                yield selection
            elif isinstance(selection, FragmentSpreadNode):
                yield from self._fields(self.fragments[selection.name.value].selection_set)
            else:
                yield from self._fields(selection.selection_set)  # type: ignore[attr-defined]

    def _included(self, directives: Iterable[DirectiveNode]) -> bool:
        for directive in directives:
            if directive.name.value in ("include", "skip"):
                given = read((directive.arguments or ())[0].value, self.scope)
                if given is not None and (given.name() == "true") != (directive.name.value == "include"):
                    return False
        return True
