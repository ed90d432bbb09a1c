"""Every kind of mistake in a metadata file is refused, and the complaint names its line."""

import pytest

from server_core.errors import ConfigError
from services.data.catalog.introspect import read_catalog
from services.data.catalog.metadata import read_metadata
from services.data.catalog.tracked import track
from services.data.schema.build import build_schema
from tests.unit.data.golden import HERE

CATALOG = read_catalog((HERE / "catalog.json").read_text())

FLOW = "tables:\n- table: project\n- table: flow\n"
RELATED = FLOW + "  object_relationships:\n  - name: p\n    using: "
MAPPED = RELATED + "{manual_configuration: "
TRAVERSAL = "tables:\n- table: {schema: utility, name: traversal}\nfunctions:\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("tables:\n- table: flow\n\ttable: x", "line 3: not valid YAML"),
        ("tables:\n- table: flow\n- \0", "line 3: not valid YAML"),
        ("a: &x [*x]", "line 1: not valid YAML"),
        ("version: 3\ntables: !!python/object/apply:os.system ['id']", "line 2: not valid YAML"),
        (FLOW + "  table: task", "line 4: not valid YAML: table is given twice"),
        ("", "line 1: the file must be a mapping"),
        ("version: 4\ntables: []", "line 1: version 4 is not supported"),
        ("version: 3\nsources: []", "line 1: exactly one source is supported, not 0"),
        ("sources:\n- {kind: mssql, tables: []}", "line 2: a source of the kind mssql is not supported"),
        ("tabels: []\ntables: []", "line 1: tabels has no place in the file"),
        (FLOW + "  object_relation: []", "line 3: object_relation has no place in a table"),
        (FLOW + "  object_relationships: 5", "line 3: object_relationships must be a list"),
        (FLOW + "  configuration:\n    custom_name: x", "line 5: custom_name is not supported"),
        ("tables:\n- table: [flow]", "line 2: a name is expected"),
        (RELATED + "7", "line 5: `using` must be a mapping"),
        (RELATED + "{}", "line 6: `using` needs"),
        (RELATED + "{foreign_key: project_id}", "line 6: foreign_key has no place in `using`"),
        (RELATED + "{foreign_key_constraint_on: nope}", "line 5: public.flow has no foreign key on nope"),
        (
            RELATED + "{foreign_key_constraint_on: {table: project, column: id}}",
            "line 5: public.project has no foreign",
        ),
        (RELATED + "{foreign_key_constraint_on: {table: project, col: id}}", "line 6: col has no place in"),
        (MAPPED + "{remote_table: nope, column_mapping: {id: id}}}", "line 5: there is no table public.nope"),
        (MAPPED + "{remote_table: flow, column_mapping: {}}}", "line 6: `column_mapping` is empty"),
        (MAPPED + "{remote_table: flow, column_mapping: {id: 5}}}", "line 6: a name is expected, not 5"),
        (MAPPED + "{remote_table: flow, column_mapping: {id: x}}}", "line 5: public.flow has no column x"),
        (RELATED.replace("p\n", "a b\n") + "{foreign_key_constraint_on: project_id}", "line 5: relationship a b has a"),
        (RELATED.replace("p\n", "5\n") + "{foreign_key_constraint_on: project_id}", "line 5: a name is expected"),
        (
            RELATED.replace("object", "array") + "{foreign_key_constraint_on: project_id}",
            "line 6: an array relationship follows a foreign key of another `table`",
        ),
        (
            "tables:\n- table: flow\n- table: project\n  array_relationships:\n"
            "  - {name: f, using: {foreign_key_constraint_on: {table: flow, column: project_id}}}\n"
            "  - {name: f_aggregate, using: {foreign_key_constraint_on: {table: flow, column: project_id}}}",
            "line 6: public.project already has a field f_aggregate",
        ),
        (
            TRAVERSAL + "- function: {schema: utility, name: downstream_tasks}\n" * 2,
            "line 5: function utility.downstream_tasks is listed twice",
        ),
        (
            FLOW + "functions:\n- {function: {schema: utility, name: downstream_tasks}}",
            "line 5: utility.downstream_tasks",
        ),
        ("tables: []", ": no table is tracked"),
    ],
)
def test_mistakes_are_refused_with_their_line(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        build_schema(track(CATALOG, read_metadata(text)))
    assert str(refused.value).removeprefix("metadata").strip().startswith(complaint)


def test_metadata_nested_too_deeply_is_refused() -> None:
    with pytest.raises(ConfigError, match="metadata line 1: nested too deeply"):
        read_metadata("[" * 1_000)
