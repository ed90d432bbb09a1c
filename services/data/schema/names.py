"""Names that clients see: tables, functions and scalars → GraphQL names. Used by every module of this room."""

import re
from typing import Final

from services.data.catalog.model import PgType, QualifiedName

_VALID: Final = re.compile(r"(?!__)[_A-Za-z][_0-9A-Za-z]*")

_SCALARS: Final = {
    "int4": "Int",
    "int2": "smallint",
    "int8": "bigint",
    "float4": "Float",
    "bool": "Boolean",
    "text": "String",
    "varchar": "String",
}


def is_valid(name: str) -> bool:
    """Say whether GraphQL can spell the name; what it cannot spell is not shown."""
    return _VALID.fullmatch(name) is not None


def base_name(name: QualifiedName) -> str:
    """Return the name of a table or function: bare in `public`, else with its schema in front (data-api.md §1)."""
    return name.name if name.schema == "public" else f"{name.schema}_{name.name}"


def scalar_name(type: PgType) -> str:
    """Return the name of the scalar for a column of this type: Hasura's, else the Postgres name.

    Composite types are told from the tables of the same name, whose rows they are.
    """
    name = f"{type.name.name}_scalar" if type.kind == "c" else type.name.name
    return _SCALARS.get(name, name if is_valid(name) else "String")
