"""`order_by` and `distinct_on` → Orders and columns (data-api.md §2.2)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from services.data.catalog.model import QualifiedName
from services.data.errors import ValidationFailed
from services.data.plan.given import Given
from services.data.plan.tree import ByAggregate, ByColumn, ByRelated, Direction, Join, Order, OrderKey
from services.data.schema.bindings import (
    ColumnField,
    CountField,
    FunctionField,
    RelatedAggregateField,
    RelatedField,
    Schema,
)
from services.data.schema.names import base_name

_Wrap = Callable[[OrderKey], OrderKey]


@dataclass(frozen=True, kw_only=True, slots=True)
class Orderings:
    """Reads orderings. Keys come out in written order; null directions and objects count as not written."""

    schema: Schema

    def orders(self, type: str, given: Given) -> tuple[Order, ...]:
        """Return the keys of a list of `T_order_by`."""
        return tuple(order for item in given.items() for order in self._object(type, item, lambda key: key))

    def _object(self, type: str, given: Given, wrap: _Wrap) -> Iterator[Order]:
        if given.is_null():
            return
        for name, item in given.entries():
            if item.is_null():
                continue
            match self.schema.binding(type, name):
                case ColumnField(column=column):
                    yield Order(key=wrap(ByColumn(column=column.name)), direction=Direction.of(item.name()))
                case RelatedField(relationship=relationship, table=table):
                    target, join, unique = table.table.name, relationship.columns, relationship.unique
                    yield from self._object(f"{base_name(target)}_order_by", item, _related(wrap, target, join, unique))
                case RelatedAggregateField(relationship=relationship, table=table):
                    yield from self._aggregates(table.table.name, relationship.columns, item, wrap)
                case binding:
                    raise TypeError(f"not an ordering: {binding}")

    def _aggregates(self, target: QualifiedName, join: Join, given: Given, wrap: _Wrap) -> Iterator[Order]:
        base = base_name(target)
        for name, item in given.entries():
            if item.is_null():
                continue
            match self.schema.binding(f"{base}_aggregate_order_by", name):
                case CountField():
                    key = ByAggregate(name=target, join=join, function="count", column=None)
                    yield Order(key=wrap(key), direction=Direction.of(item.name()))
                case FunctionField(function=function):
                    for column, direction in item.entries():
                        if not direction.is_null():
                            key = ByAggregate(name=target, join=join, function=function, column=column)
                            yield Order(key=wrap(key), direction=Direction.of(direction.name()))
                case binding:
                    raise TypeError(f"not an ordering: {binding}")


def distinct_columns(given: Given, orders: tuple[Order, ...], path: str) -> tuple[str, ...]:
    """Return the columns of `distinct_on`.

    Raises:
        ValidationFailed: there is an ordering and it does not begin with these columns.
    """
    columns = tuple(dict.fromkeys(item.name() for item in given.items()))
    first = {order.key.column if isinstance(order.key, ByColumn) else "" for order in orders[: len(columns)]}
    if orders and first != set(columns):
        raise ValidationFailed('"distinct_on" columns must match initial "order_by" columns', path=path)
    return columns


def _related(wrap: _Wrap, target: QualifiedName, join: Join, unique: bool) -> _Wrap:
    return lambda key: wrap(ByRelated(name=target, join=join, unique=unique, key=key))
