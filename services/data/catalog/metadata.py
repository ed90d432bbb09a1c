"""A metadata file in Hasura's format → Metadata: what to track, not yet checked against a database. Called by app.

Read are version 3 (`sources`), version 2 (`tables` at top level) and either wrapped in an export (`metadata`). What
does not concern queries (permissions, triggers, actions …) is passed over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from server_core.errors import ConfigError
from services.data.catalog.model import QualifiedName

_LINE = "\0line"

_KEYS: Final[Mapping[str, frozenset[str]]] = {
    what: frozenset(keys.split())
    for what, keys in {
        "the file": "version resource_version metadata sources tables functions remote_schemas query_collections"
        " allowlist custom_types actions cron_triggers inherited_roles rest_endpoints network metrics_config"
        " opentelemetry api_limits graphql_schema_introspection backend_configs",
        "a source": "name kind configuration tables functions customization native_queries logical_models"
        " stored_procedures health_check",
        "a table": "table is_enum configuration object_relationships array_relationships computed_fields"
        " remote_relationships insert_permissions select_permissions update_permissions delete_permissions"
        " event_triggers apollo_federation_config logical_model comment",
        "a relationship": "name using comment",
        "`using`": "foreign_key_constraint_on manual_configuration",
        "`manual_configuration`": "remote_table column_mapping insertion_order source",
        "`foreign_key_constraint_on`": "table column columns",
        "a function": "function configuration permissions comment",
    }.items()
}
"""What may stand where, whether it concerns queries or not. Anything else is a slip of the pen."""

_RENAMES: Final = ("custom_name", "custom_root_fields", "custom_column_names", "column_config")
_VERSIONS: Final = (None, 1, 2, 3)
_KINDS: Final = (None, "postgres", "pg", "citus", "alloydb")


@dataclass(frozen=True, kw_only=True, slots=True)
class ByForeignKey:
    """Follow the foreign key on these columns: of the table itself, or of `table` when given."""

    columns: tuple[str, ...]
    table: QualifiedName | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ByMapping:
    """Join own columns to columns of a table, whether or not a foreign key exists."""

    table: QualifiedName
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RelationshipEntry:
    """A relationship to show; `many` for array relationships."""

    name: str
    many: bool
    using: ByForeignKey | ByMapping
    where: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TableEntry:
    """A table to show; `where` says where in the file it stands."""

    name: QualifiedName
    relationships: tuple[RelationshipEntry, ...]
    where: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionEntry:
    """A function to show."""

    name: QualifiedName
    where: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Metadata:
    """What a metadata file asks to show."""

    tables: tuple[TableEntry, ...]
    functions: tuple[FunctionEntry, ...]


def load_metadata(path: Path) -> Metadata:
    """Read a metadata file.

    Raises:
        ConfigError: the file is missing, is not YAML or does not have the format; names the line.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"metadata file {path}: {error.strerror}") from error
    return read_metadata(text, name=path.name)


def read_metadata(text: str, *, name: str = "metadata") -> Metadata:
    """Read metadata from YAML (or JSON) text; `name` stands in messages.

    Raises:
        ConfigError: it is not YAML or does not have the format; names the line.
    """
    try:
        document = yaml.load(text, Loader=_LineLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        position = getattr(error, "position", None)
        line = mark.line + 1 if mark else text[:position].count("\n") + 1
        place = f"line {line}"
        raise ConfigError(f"{name} {place}: not valid YAML: {getattr(error, 'problem', error)}") from error
    except RecursionError:
        raise ConfigError(f"{name} line 1: nested too deeply") from None
    return _Reader(name).metadata(document)


class _LineLoader(yaml.SafeLoader):
    """Loads plain values; each mapping also holds the line it begins on."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is given twice", key.start_mark)
            seen.add(str(key.value))
        mapping = super().construct_mapping(node, deep=True)
        mapping[_LINE] = node.start_mark.line + 1
        return mapping


class _Reader:
    """Walks the document; every complaint names the line."""

    def __init__(self, name: str) -> None:
        self._name = name

    def metadata(self, document: object) -> Metadata:
        root = self._mapping(document, "the file", None)
        root = self._mapping(root.get("metadata", root), "the file", root)
        if root.get("version") not in _VERSIONS:
            raise self._complaint(root, f"version {root['version']} is not supported")
        sources = root.get("sources")
        if sources is None:
            tables, functions = root.get("tables"), root.get("functions")
            if tables is None:
                raise self._complaint(root, "neither `sources` nor `tables` is given")
        else:
            entries = [self._mapping(entry, "a source", root) for entry in self._list(sources, "sources", root)]
            if len(entries) != 1:
                raise self._complaint(root, f"exactly one source is supported, not {len(entries)}")
            if entries[0].get("kind") not in _KINDS:
                raise self._complaint(entries[0], f"a source of the kind {entries[0]['kind']} is not supported")
            tables, functions = entries[0].get("tables"), entries[0].get("functions")
        return Metadata(
            tables=tuple(self._table(entry, root) for entry in self._list(tables, "tables", root)),
            functions=tuple(self._function(entry, root) for entry in self._list(functions, "functions", root)),
        )

    def _table(self, document: object, parent: Mapping[str, Any]) -> TableEntry:
        entry = self._mapping(document, "a table", parent)
        configuration = self._mapping(entry.get("configuration") or {}, "`configuration`", entry)
        for key in _RENAMES:
            if configuration.get(key) not in (None, {}) and set(configuration[key]) != {_LINE}:
                raise self._complaint(configuration, f"{key} is not supported: every table goes by its own names")
        relationships = [
            self._relationship(item, entry, many=many)
            for key, many in (("object_relationships", False), ("array_relationships", True))
            for item in self._list(entry.get(key), key, entry)
        ]
        return TableEntry(
            name=self._qualified(entry.get("table"), entry),
            relationships=tuple(relationships),
            where=self._where(entry),
        )

    def _relationship(self, document: object, parent: Mapping[str, Any], *, many: bool) -> RelationshipEntry:
        entry = self._mapping(document, "a relationship", parent)
        using = self._mapping(entry.get("using"), "`using`", entry)
        by_key, by_hand = using.get("foreign_key_constraint_on"), using.get("manual_configuration")
        rule: ByForeignKey | ByMapping
        if by_key is not None:
            rule = self._by_foreign_key(by_key, using)
            if many and rule.table is None:
                raise self._complaint(using, "an array relationship follows a foreign key of another `table`")
        elif by_hand is not None:
            manual = self._mapping(by_hand, "`manual_configuration`", using)
            mapping = self._mapping(manual.get("column_mapping"), "`column_mapping`", manual)
            rule = ByMapping(
                table=self._qualified(manual.get("remote_table"), manual),
                columns=tuple(
                    (self._name_of(own, mapping), self._name_of(remote, mapping))
                    for own, remote in mapping.items()
                    if own != _LINE
                ),
            )
            if not rule.columns:
                raise self._complaint(mapping, "`column_mapping` is empty")
        else:
            raise self._complaint(using, "`using` needs `foreign_key_constraint_on` or `manual_configuration`")
        return RelationshipEntry(
            name=self._name_of(entry.get("name"), entry), many=many, using=rule, where=self._where(entry)
        )

    def _by_foreign_key(self, value: object, parent: Mapping[str, Any]) -> ByForeignKey:
        if not isinstance(value, dict):
            return ByForeignKey(columns=self._columns(value, parent))
        value = self._mapping(value, "`foreign_key_constraint_on`", parent)
        columns = value.get("columns", value.get("column"))
        return ByForeignKey(columns=self._columns(columns, value), table=self._qualified(value.get("table"), value))

    def _columns(self, value: object, parent: Mapping[str, Any]) -> tuple[str, ...]:
        names = value if isinstance(value, list) else [value]
        return tuple(self._name_of(name, parent) for name in names)

    def _function(self, document: object, parent: Mapping[str, Any]) -> FunctionEntry:
        entry = self._mapping(document, "a function", parent)
        return FunctionEntry(name=self._qualified(entry.get("function"), entry), where=self._where(entry))

    def _qualified(self, value: object, parent: Mapping[str, Any]) -> QualifiedName:
        if isinstance(value, dict):
            return QualifiedName(
                self._name_of(value.get("schema", "public"), value), self._name_of(value.get("name"), value)
            )
        return QualifiedName("public", self._name_of(value, parent))

    def _name_of(self, value: object, parent: Mapping[str, Any]) -> str:
        if not isinstance(value, str) or not value:
            raise self._complaint(parent, f"a name is expected, not {value!r}")
        return value

    def _mapping(self, value: object, what: str, parent: Mapping[str, Any] | None) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self._complaint(parent, f"{what} must be a mapping")
        for key in value:
            if key != _LINE and key not in _KEYS.get(what, value):
                raise self._complaint(value, f"{key} has no place in {what}")
        return value

    def _list(self, value: object, what: str, parent: Mapping[str, Any]) -> Sequence[object]:
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self._complaint(parent, f"{what} must be a list")
        return value

    def _where(self, entry: Mapping[str, Any]) -> str:
        return f"{self._name} line {entry[_LINE]}"

    def _complaint(self, parent: Mapping[str, Any] | None, message: str) -> ConfigError:
        return ConfigError(f"{self._name} line {parent[_LINE] if parent else 1}: {message}")
