"""Catalog + Metadata → Tracked: the tables, relationships and functions to show, checked. Called by app at start."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from server_core.errors import ConfigError
from services.data.catalog.metadata import ByForeignKey, ByMapping, Metadata, RelationshipEntry, TableEntry
from services.data.catalog.model import Catalog, ForeignKey, Function, QualifiedName, Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Relationship:
    """A way from a row to other rows.

    Attributes:
        target: the table at the other end.
        columns: pairs (own column, column of target) that must be equal.
        many: shown as a list.
        nullable: an object that may be missing.
        unique: at most one row can be at the other end, by a key of `target`.
        where: where in the metadata it stands.
    """

    name: str
    target: QualifiedName
    columns: tuple[tuple[str, str], ...]
    many: bool
    nullable: bool
    unique: bool
    where: str = field(default="", compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackedTable:
    """A table that is shown, with its relationships by name; `where` says where in the metadata it stands."""

    table: Table
    relationships: Mapping[str, Relationship]
    where: str = field(default="", compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracked:
    """Everything that is shown; `places` says where in the metadata each function stands."""

    tables: Mapping[QualifiedName, TrackedTable]
    functions: tuple[Function, ...]
    places: Mapping[QualifiedName, str] = field(default_factory=dict, compare=False)


def track(catalog: Catalog, metadata: Metadata) -> Tracked:
    """Return what the metadata asks to show of the catalog.

    Raises:
        ConfigError: something it names is not in the database, or a relationship does not fit; names the line.
    """
    tables: dict[QualifiedName, TrackedTable] = {}
    names = {entry.name for entry in metadata.tables}
    for entry in metadata.tables:
        table = catalog.tables.get(entry.name)
        if table is None:
            raise ConfigError(f"{entry.where}: there is no table {entry.name}")
        if entry.name in tables:
            raise ConfigError(f"{entry.where}: table {entry.name} is listed twice")
        relationships = _relationships(catalog, entry, table, names)
        tables[entry.name] = TrackedTable(table=table, relationships=relationships, where=entry.where)
    functions = []
    for wanted in metadata.functions:
        function = catalog.functions.get(wanted.name)
        if function is None:
            raise ConfigError(f"{wanted.where}: there is no function {wanted.name} that returns rows of a table")
        if function.overloaded:
            raise ConfigError(f"{wanted.where}: there are several functions {wanted.name}; one of them must be renamed")
        if function.returns not in tables:
            raise ConfigError(f"{wanted.where}: {wanted.name} returns {function.returns}, which is not tracked")
        if function in functions:
            raise ConfigError(f"{wanted.where}: function {wanted.name} is listed twice")
        if not function.volatile:
            functions.append(function)
    places = {wanted.name: wanted.where for wanted in metadata.functions}
    return Tracked(tables=tables, functions=tuple(functions), places=places)


def _relationships(
    catalog: Catalog, entry: TableEntry, table: Table, tracked: set[QualifiedName]
) -> dict[str, Relationship]:
    relationships: dict[str, Relationship] = {}
    fields = set(table.columns)
    for wanted in entry.relationships:
        for name in (wanted.name, f"{wanted.name}_aggregate") if wanted.many else (wanted.name,):
            if name in fields:
                raise ConfigError(f"{wanted.where}: {entry.name} already has a field {name}")
            fields.add(name)
        relationship = _relationship(catalog, table, wanted)
        if relationship.target not in tracked:
            raise ConfigError(f"{wanted.where}: {wanted.name} leads to {relationship.target}, which is not tracked")
        relationships[wanted.name] = relationship
    return relationships


def _relationship(catalog: Catalog, table: Table, wanted: RelationshipEntry) -> Relationship:
    match wanted.using:
        case ByForeignKey(columns=columns, table=None):
            key = _foreign_key(table, columns, None)
            if key is None:
                raise ConfigError(f"{wanted.where}: {table.name} has no foreign key on {', '.join(columns)}")
            target, pairs = key.target, tuple(zip(key.columns, key.target_columns, strict=True))
            nullable = any(table.columns[column].nullable for column in columns)
        case ByForeignKey(columns=columns, table=QualifiedName() as other):
            remote = catalog.tables.get(other)
            key = _foreign_key(remote, columns, table.name) if remote else None
            if key is None:
                raise ConfigError(f"{wanted.where}: {other} has no foreign key on {', '.join(columns)} to {table.name}")
            target, pairs = other, tuple(zip(key.target_columns, key.columns, strict=True))
            nullable = True
        case ByMapping(table=target, columns=pairs):
            nullable = True
    remote = catalog.tables.get(target)
    if remote is None:
        raise ConfigError(f"{wanted.where}: there is no table {target}")
    for own, other_column in pairs:
        if own not in table.columns:
            raise ConfigError(f"{wanted.where}: {table.name} has no column {own}")
        if other_column not in remote.columns:
            raise ConfigError(f"{wanted.where}: {target} has no column {other_column}")
    return Relationship(
        name=wanted.name,
        target=target,
        columns=pairs,
        many=wanted.many,
        nullable=nullable,
        unique=remote.identifies(frozenset(column for _, column in pairs)),
        where=wanted.where,
    )


def _foreign_key(table: Table, columns: tuple[str, ...], target: QualifiedName | None) -> ForeignKey | None:
    """Find the foreign key over exactly these columns, in any order."""
    for key in table.foreign_keys:
        if set(key.columns) == set(columns) and target in (None, key.target):
            return key
    return None
