"""A seed → a small database: tables, relationships and rows as values, and the SQL and metadata that make them real.

Foreign keys stand on columns with hostile names, which GraphQL cannot show but must join by.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

Row = dict[str, Any]

TEXTS: Final = ("", "a", "b", "ab", "A", "%", "_", "a%b", "\\", "é☃", "'", '"', "$1", "{x}", "NULL", "a\nb", "$$", "--")
POOLS: Final[dict[str, Sequence[Any]]] = {
    "integer": (-2, -1, 0, 1, 2, 2147483647),
    "bigint": (0, 1, 9007199254740993, -9223372036854775808),
    "numeric": (Decimal("0.5"), Decimal(1), Decimal("1.25"), Decimal(-3)),
    "boolean": (True, False),
    "text": TEXTS,
}
SCALARS: Final = {"integer": "Int", "bigint": "bigint", "numeric": "numeric", "boolean": "Boolean", "text": "String"}
_HOSTILE: Final = ('to "up"', "$1", "%s%(x)s", "a\\b", "{hole}", "it's", "select", "one\ntwo", "$$", "ünï☃")


@dataclass(frozen=True, kw_only=True)
class Link:
    """A foreign key, shown as `parent` of its table and as `many` of its target."""

    column: str
    target: str
    many: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with the key `id`; `rows` hold a value for the link's column too."""

    name: str
    columns: dict[str, str]
    link: Link | None
    rows: list[Row] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class World:
    """Tables by name; all stand in the Postgres schema `schema`."""

    schema: str
    tables: dict[str, Table]

    def shown(self, table: str) -> str:
        """Return the GraphQL name of a table."""
        return f"{self.schema}_{table}"

    def kids(self, table: str) -> list[Table]:
        """Return the tables that link to this one."""
        return [other for other in self.tables.values() if other.link and other.link.target == table]


def make_world(seed: int) -> World:
    """Return the world of a seed."""
    random_ = random.Random(seed)
    names = [f"t{number}" for number in range(random_.randint(1, 3))]
    sizes = {name: random_.randint(0, 7) for name in names}
    tables = {}
    for name in names:
        columns = {f"c{number}": random_.choice(list(POOLS)) for number in range(random_.randint(1, 4))}
        link = None
        if random_.random() < 0.8:
            target = random_.choice(names)
            link = Link(column=random_.choice(_HOSTILE), target=target, many=f"{name}s")
        rows = [_row(random_, id, columns, link, sizes) for id in range(1, sizes[name] + 1)]
        tables[name] = Table(name=name, columns={"id": "integer", **columns}, link=link, rows=rows)
    return World(schema=f"w{seed}", tables=tables)


def _row(random_: random.Random, id: int, columns: dict[str, str], link: Link | None, sizes: dict[str, int]) -> Row:
    row: Row = {"id": id}
    for name, type in columns.items():
        row[name] = None if random_.random() < 0.3 else random_.choice(POOLS[type])
    if link:
        size = sizes[link.target]
        row[link.column] = random_.randint(1, size) if size and random_.random() < 0.8 else None
    return row


def statements(world: World) -> list[tuple[str, list[list[Any]]]]:
    """Return what makes a world: statements, each with the rows of parameters it is run with (none: run it once)."""
    made: list[tuple[str, list[list[Any]]]] = [(f"CREATE SCHEMA {world.schema}", [])]
    for table in world.tables.values():
        types = {**table.columns, **({table.link.column: "integer"} if table.link else {})}
        columns = ", ".join(f"{_quoted(name)} {_type(type)}" for name, type in types.items())
        made.append((f"CREATE TABLE {world.schema}.{table.name} ({columns}, PRIMARY KEY (id))", []))
        values = ", ".join(f"${number}::text::{type}" for number, type in enumerate(types.values(), 1))
        rows = [[None if row[name] is None else str(row[name]) for name in types] for row in table.rows]
        if rows:
            made.append((f"INSERT INTO {world.schema}.{table.name} VALUES ({values})", rows))
    for table in world.tables.values():
        if table.link:
            column, target = _quoted(table.link.column), f"{world.schema}.{table.link.target}"
            made.append((f"ALTER TABLE {world.schema}.{table.name} ADD FOREIGN KEY ({column}) REFERENCES {target}", []))
    return made


def metadata(world: World) -> list[dict[str, Any]]:
    """Return the tables of a world in Hasura's metadata format."""
    entries = []
    for table in world.tables.values():
        entry: dict[str, Any] = {"table": {"schema": world.schema, "name": table.name}}
        if table.link:
            using = {"foreign_key_constraint_on": table.link.column}
            entry["object_relationships"] = [{"name": "parent", "using": using}]
        entry["array_relationships"] = [
            {
                "name": other.link.many,
                "using": {
                    "foreign_key_constraint_on": {
                        "table": {"schema": world.schema, "name": other.name},
                        "column": other.link.column,
                    }
                },
            }
            for other in world.kids(table.name)
            if other.link
        ]
        entries.append(entry)
    return entries


def _type(type: str) -> str:
    return 'text COLLATE "C"' if type == "text" else type


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
