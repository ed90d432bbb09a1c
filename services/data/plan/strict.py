"""Filters of mutations: the null rule does not hold there, because a condition left out would hit every row."""

from dataclasses import dataclass

from services.data.catalog.tracked import TrackedTable
from services.data.errors import ValidationFailed
from services.data.plan.filters import Filters
from services.data.plan.given import Given, missing
from services.data.plan.tree import Condition
from services.data.schema.bindings import Schema
from services.data.schema.names import base_name


@dataclass(frozen=True, kw_only=True, slots=True)
class StrictFilters:
    """Reads filters that decide what is written."""

    schema: Schema

    def condition(self, table: TrackedTable, given: Given, path: str) -> Condition:
        """Return the condition of a `T_bool_exp`; `{}` is every row.

        Raises:
            ValidationFailed: at any depth an operator has no value (null, or a variable that was not sent) or a
                comparison no operator; names the place.
        """
        absent = missing(given, path)
        if absent is not None:
            raise ValidationFailed("a value is expected, but the variable here was not given", path=absent)
        filters = Filters(schema=self.schema, null_collapse=False, strict=True)
        return filters.condition(f"{base_name(table.table.name)}_bool_exp", given, path)
