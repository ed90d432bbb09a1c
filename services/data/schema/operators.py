"""Which comparison operators and aggregate functions a type has, and what they are given (data-api.md §1, §2.1)."""

from enum import Enum
from typing import Final


class Operand(Enum):
    """What an operator is given."""

    SAME = "a value of the column's type"
    LIST = "a list of such values"
    TEXT = "a string"
    TEXTS = "a list of strings"
    FLAG = "true or false"


_BASE: Final = {
    "_eq": Operand.SAME,
    "_neq": Operand.SAME,
    "_gt": Operand.SAME,
    "_gte": Operand.SAME,
    "_lt": Operand.SAME,
    "_lte": Operand.SAME,
    "_in": Operand.LIST,
    "_nin": Operand.LIST,
    "_is_null": Operand.FLAG,
}
_TEXT: Final = dict.fromkeys(
    (
        "_like", "_nlike", "_ilike", "_nilike", "_similar", "_nsimilar", "_regex", "_iregex", "_nregex", "_niregex",
    ),
    Operand.TEXT,
)  # fmt: skip
_JSONB: Final = {
    "_contains": Operand.SAME,
    "_contained_in": Operand.SAME,
    "_has_key": Operand.TEXT,
    "_has_keys_any": Operand.TEXTS,
    "_has_keys_all": Operand.TEXTS,
}
OPERATORS: Final = {**_BASE, **_TEXT, **_JSONB}
"""Every operator there is."""

_TEXT_SCALARS: Final = frozenset({"String", "bpchar", "citext", "name"})
_NUMERIC: Final = frozenset({"Int", "smallint", "bigint", "Float", "float8", "numeric"})
_ORDERED: Final = _NUMERIC | _TEXT_SCALARS | {"uuid", "date", "timestamp", "timestamptz", "time", "timetz", "money"}
_UNCOMPARABLE: Final = frozenset(
    {
        "json", "jsonpath", "xml", "point", "box", "path", "polygon", "line", "circle", "lseg", "aclitem", "refcursor",
        "txid_snapshot", "pg_snapshot", "xid", "cid",
    }
)  # fmt: skip

EXTREMES: Final = ("max", "min")
STATISTICS: Final = ("avg", "stddev", "stddev_pop", "stddev_samp", "sum", "var_pop", "var_samp", "variance")
AGGREGATES: Final = frozenset((*EXTREMES, *STATISTICS))


def operators_of(scalar: str) -> dict[str, Operand]:
    """Return the comparison operators of a scalar, by name in alphabetical order."""
    if scalar.removeprefix("_") in _UNCOMPARABLE:
        return {"_is_null": Operand.FLAG}
    operators = dict(_BASE)
    if scalar in _TEXT_SCALARS:
        operators |= _TEXT
    if scalar == "jsonb":
        operators |= _JSONB
    return dict(sorted(operators.items()))


def aggregates_of(scalar: str, *, enum: bool = False) -> tuple[str, ...]:
    """Return the aggregate functions that columns of this scalar have, besides count."""
    if scalar in _NUMERIC:
        return (*EXTREMES, *STATISTICS)
    return EXTREMES if enum or scalar in _ORDERED else ()


def aggregate_scalar(function: str, scalar: str) -> str:
    """Return the scalar of an aggregate's result: the column's own for max, min and sum, else Float."""
    return scalar if function in (*EXTREMES, "sum") else "Float"
