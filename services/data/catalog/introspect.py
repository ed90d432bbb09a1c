"""pg_catalog → Catalog: one statement that returns one JSON document, and the reader of that document.

The engine runs INTROSPECTION at start and at reload; tests commit its answer as data and need no database.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from services.data.catalog.model import (
    WRITES,
    Catalog,
    Column,
    ForeignKey,
    Function,
    FunctionArgument,
    Key,
    PgType,
    QualifiedName,
    Table,
)

INTROSPECTION: Final = """
WITH RECURSIVE schemas AS (
    SELECT oid, nspname FROM pg_catalog.pg_namespace
    WHERE nspname !~ '^pg_(toast|temp)' AND nspname NOT IN ('pg_catalog', 'information_schema', 'hdb_catalog')
), tables AS (
    SELECT c.oid, s.nspname AS schema, c.relname AS name, c.relkind
    FROM pg_catalog.pg_class c JOIN schemas s ON s.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND has_schema_privilege(s.oid, 'USAGE')
), columns AS (
    SELECT a.attrelid, json_agg(json_build_object(
        'name', a.attname, 'type', a.atttypid::bigint, 'nullable', NOT (a.attnotnull OR t.typnotnull),
        'settable', CASE WHEN tables.relkind <> 'v'
            THEN a.attidentity <> 'a' AND coalesce(to_jsonb(a) ->> 'attgenerated', '') = '' -- not there before PG 12
            ELSE pg_column_is_updatable(tables.oid, a.attnum, false)
                 OR pg_relation_is_updatable(tables.oid, true) <> pg_relation_is_updatable(tables.oid, false) END
    ) ORDER BY a.attnum) AS list
    FROM pg_catalog.pg_attribute a JOIN tables ON tables.oid = a.attrelid
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE a.attnum > 0 AND NOT a.attisdropped
    GROUP BY a.attrelid
), constraints AS (
    SELECT k.conrelid, k.contype, json_build_object(
        'name', k.conname,
        'primary', k.contype = 'p',
        'immediate', NOT k.condeferrable,
        'columns', (SELECT json_agg(a.attname ORDER BY u.n) FROM unnest(k.conkey) WITH ORDINALITY u (num, n)
                    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num),
        'target', (SELECT json_build_array(t.schema, t.name) FROM tables t WHERE t.oid = k.confrelid),
        'target_columns', (SELECT json_agg(a.attname ORDER BY u.n) FROM unnest(k.confkey) WITH ORDINALITY u (num, n)
                           JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num)
    ) AS item, k.conname
    FROM pg_catalog.pg_constraint k JOIN tables ON tables.oid = k.conrelid
    WHERE k.contype IN ('p', 'u', 'f')
), functions AS (
    SELECT p.oid, s.nspname AS schema, p.proname AS name, p.proretset, p.provolatile,
           p.proargnames, p.pronargs, p.pronargdefaults, p.proargtypes,
           t.schema AS returns_schema, t.name AS returns_name
    FROM pg_catalog.pg_proc p
    JOIN schemas s ON s.oid = p.pronamespace
    JOIN pg_catalog.pg_type r ON r.oid = p.prorettype
    JOIN tables t ON t.oid = r.typrelid
    WHERE p.prokind = 'f' AND p.provariadic = 0
), arguments AS (
    SELECT f.oid, json_agg(json_build_object(
        'name', coalesce(f.proargnames[u.n], ''), 'type', u.type::bigint,
        'has_default', u.n > f.pronargs - f.pronargdefaults
    ) ORDER BY u.n) AS list
    FROM functions f, unnest(f.proargtypes) WITH ORDINALITY u (type, n)
    GROUP BY f.oid
), used (oid) AS (
    (SELECT a.atttypid FROM pg_catalog.pg_attribute a JOIN tables ON tables.oid = a.attrelid WHERE a.attnum > 0
     UNION SELECT unnest(f.proargtypes) FROM functions f)
    UNION
    SELECT below.oid FROM used JOIN pg_catalog.pg_type t ON t.oid = used.oid
    CROSS JOIN LATERAL (VALUES (t.typelem), (t.typbasetype)) below (oid)
    WHERE below.oid <> 0
), types AS (
    SELECT t.oid, n.nspname AS schema, t.typname AS name, t.typtype AS kind, t.typelem, t.typcategory, t.typbasetype
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE t.oid IN (SELECT oid FROM used)
)
SELECT json_build_object(
    'types', (SELECT json_object_agg(t.oid::bigint::text, json_build_object(
        'schema', t.schema, 'name', t.name, 'kind', t.kind,
        'element', CASE WHEN t.typcategory = 'A' THEN t.typelem::bigint END,
        'base', nullif(t.typbasetype, 0)::bigint) ORDER BY t.oid) FROM types t),
    'tables', (SELECT json_agg(json_build_object(
        'schema', t.schema, 'name', t.name,
        'columns', coalesce((SELECT list FROM columns WHERE attrelid = t.oid), '[]'),
        'keys', coalesce((SELECT json_agg(item ORDER BY contype, conname) FROM constraints
                          WHERE conrelid = t.oid AND contype <> 'f'), '[]'),
        'foreign_keys', coalesce((SELECT json_agg(item ORDER BY conname) FROM constraints
                                  WHERE conrelid = t.oid AND contype = 'f'), '[]'),
        'writes', (SELECT coalesce(json_agg(e.name), '[]') FROM (VALUES ('update', 4), ('insert', 8), ('delete', 16))
                   e (name, bit) WHERE pg_relation_is_updatable(t.oid, true) & e.bit > 0),
        'settles', (SELECT coalesce(json_agg(e.name), '[]') FROM (VALUES ('insert', 4), ('update', 16)) e (name, bit)
                    WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_trigger g WHERE g.tgrelid = t.oid AND NOT g.tgisinternal
                                  AND g.tgenabled IN ('O', 'A') AND g.tgtype & e.bit > 0 AND g.tgtype & 66 = 0
                                  AND (g.tgtype & 1 = 1 OR coalesce(g.tgoldtable, g.tgnewtable) IS NOT NULL)))
        ) ORDER BY t.schema, t.name) FROM tables t),
    'functions', (SELECT json_agg(json_build_object(
        'schema', f.schema, 'name', f.name, 'returns', json_build_array(f.returns_schema, f.returns_name),
        'returns_set', f.proretset, 'volatile', f.provolatile = 'v',
        'arguments', coalesce((SELECT list FROM arguments WHERE arguments.oid = f.oid), '[]')
        ) ORDER BY f.schema, f.name, f.oid) FROM functions f)
)
"""


def read_catalog(document: str | bytes) -> Catalog:
    """Return the catalog that the answer to INTROSPECTION describes."""
    answer: dict[str, Any] = json.loads(document)
    types = _Types(answer["types"] or {})
    tables = [_table(entry, types) for entry in answer["tables"] or ()]
    functions = [_function(entry, types) for entry in answer["functions"] or ()]
    names = Counter(function.name for function in functions)
    return Catalog(
        tables={table.name: table for table in tables},
        functions={function.name: replace(function, overloaded=names[function.name] > 1) for function in functions},
    )


class _Types:
    """Types by oid, made when first asked for. A domain is the type under it: only writing checks its constraints."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = entries
        self._made: dict[int, PgType] = {}

    def __getitem__(self, oid: int) -> PgType:
        while (base := self._entries[str(oid)]["base"]) is not None:
            oid = base
        return self._itself(oid)

    def is_domain(self, oid: int) -> bool:
        """Say whether values of the type are those of another under constraints."""
        return self._entries[str(oid)]["base"] is not None

    def _itself(self, oid: int) -> PgType:
        if oid not in self._made:
            entry = self._entries[str(oid)]
            element = entry["element"]
            self._made[oid] = PgType(
                name=QualifiedName(entry["schema"], entry["name"]),
                kind="a" if element is not None else entry["kind"],
                element=self._itself(element) if element is not None else None,
            )
        return self._made[oid]


def _table(entry: dict[str, Any], types: _Types) -> Table:
    columns = [
        Column(
            name=column["name"],
            type=types[column["type"]],
            nullable=column["nullable"],
            settable=column.get("settable", True),
            domain=types.is_domain(column["type"]),
        )
        for column in entry["columns"]
    ]
    return Table(
        name=QualifiedName(entry["schema"], entry["name"]),
        columns={column.name: column for column in columns},
        keys=tuple(
            Key(
                name=key["name"],
                columns=tuple(key["columns"]),
                primary=key["primary"],
                immediate=key.get("immediate", True),
            )
            for key in entry["keys"]
        ),
        foreign_keys=tuple(
            ForeignKey(
                name=key["name"],
                columns=tuple(key["columns"]),
                target=QualifiedName(*key["target"]),
                target_columns=tuple(key["target_columns"]),
            )
            for key in entry["foreign_keys"]
            if key["target"] is not None
        ),
        writes=frozenset(entry.get("writes", WRITES)),
        settles=frozenset(entry.get("settles", ())),
    )


def _function(entry: dict[str, Any], types: _Types) -> Function:
    return Function(
        name=QualifiedName(entry["schema"], entry["name"]),
        arguments=tuple(
            FunctionArgument(name=argument["name"], type=types[argument["type"]], has_default=argument["has_default"])
            for argument in entry["arguments"]
        ),
        returns=QualifiedName(*entry["returns"]),
        returns_set=entry["returns_set"],
        volatile=entry["volatile"],
    )
