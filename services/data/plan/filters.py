"""`where` → Condition, with the null rule (data-api.md §2.1)."""

from dataclasses import dataclass

from services.data.catalog.model import Column
from services.data.errors import ValidationFailed
from services.data.plan.given import Given
from services.data.plan.tree import TRUE, And, Compare, Condition, Exists, IsNull, Not, Or
from services.data.plan.values import TEXT, Value
from services.data.schema.bindings import ColumnField, OperatorField, RelatedField, Schema
from services.data.schema.names import base_name, scalar_name
from services.data.schema.operators import Operand


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """Reads filters.

    Attributes:
        null_collapse: an operator with a null value counts as not written, instead of being an error.
        strict: a comparison without an operator is an error too, instead of true.
    """

    schema: Schema
    null_collapse: bool
    strict: bool = False

    def condition(self, type: str, given: Given, path: str) -> Condition:
        """Return the condition of a `T_bool_exp`.

        Raises:
            ValidationFailed: null stands where it may not.
        """
        if given.is_null():
            raise ValidationFailed(f"unexpected null value for type '{type}'", path=path)
        items = [self._member(type, key, item, f"{path}.{key}") for key, item in given.entries()]
        return all_of(items)

    def _member(self, type: str, key: str, given: Given, path: str) -> Condition:
        match key:
            case "_and" | "_or":
                if given.is_null():
                    raise ValidationFailed("expected a list, but found null", path=path)
                items = [self.condition(type, item, f"{path}[{n}]") for n, item in enumerate(given.items())]
                return all_of(items) if key == "_and" else Or(items=tuple(items))
            case "_not":
                return Not(item=self.condition(type, given, path))
        match self.schema.binding(type, key):
            case ColumnField(column=column):
                return self._comparison(column, given, path)
            case RelatedField(relationship=relationship, table=table):
                where = self.condition(f"{base_name(table.table.name)}_bool_exp", given, path)
                return Exists(name=table.table.name, join=relationship.columns, where=where)
            case binding:
                raise TypeError(f"not a filter: {binding}")

    def _comparison(self, column: Column, given: Given, path: str) -> Condition:
        scalar = scalar_name(column.type)
        type = f"{scalar}_comparison_exp"
        if given.is_null():
            raise ValidationFailed(f"unexpected null value for type '{type}'", path=path)
        items: list[Condition] = []
        for key, item in given.entries():
            binding = self.schema.binding(type, key)
            if not isinstance(binding, OperatorField):
                raise TypeError(f"not an operator: {binding}")
            if not item.is_null():
                items.append(_compare(column, scalar, binding, item))
            elif not self.null_collapse:
                raise ValidationFailed(f"unexpected null value for operator '{key}'", path=f"{path}.{key}")
        if self.strict and not items:
            raise ValidationFailed(f"an operator is expected for type '{type}'", path=path)
        return all_of(items)


def _compare(column: Column, scalar: str, operator: OperatorField, given: Given) -> Condition:
    match operator.operand:
        case Operand.FLAG:
            return IsNull(column=column, null=given.name() == "true")
        case Operand.SAME:
            value = Value(source=given.text(scalar), type=column.type)
        case Operand.LIST:
            value = Value(source=given.texts(scalar), type=column.type, many=True)
        case Operand.TEXT:
            value = Value(source=given.text("String"), type=TEXT)
        case Operand.TEXTS:
            value = Value(source=given.texts("String"), type=TEXT, many=True)
    return Compare(column=column, operator=operator.operator, value=value)


def all_of(items: list[Condition]) -> Condition:
    """Return the conjunction, leaving out what is always true."""
    kept = [item for item in items if item != TRUE]
    return kept[0] if len(kept) == 1 else And(items=tuple(kept))
