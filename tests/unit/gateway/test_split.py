"""An operation becomes the sub-operations that its owners understand (data-api.md §3.2)."""

from graphql import FragmentDefinitionNode, OperationDefinitionNode, parse, strip_ignored_characters, validate

from services.gateway.split import RootField, Step, root_fields, split
from services.gateway.stitch import Owner
from tests.support.upstreams import stitched

UNITED = stitched()


def divided(text: str) -> tuple[tuple[RootField, ...], list[tuple[Owner, str, set[str]]]]:
    """Split a document of one operation; texts come back without layout."""
    document = parse(text)
    assert validate(UNITED.schema, document) == []
    (operation,) = (each for each in document.definitions if isinstance(each, OperationDefinitionNode))
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    fields = root_fields(UNITED, operation, fragments)
    return fields, [flat(step) for step in split(operation, fragments, fields)]


def flat(step: Step) -> tuple[Owner, str, set[str]]:
    """Return a step in comparable form."""
    return step.owner, strip_ignored_characters(step.text), set(step.variables)


def test_one_owner_gets_one_step() -> None:
    _, steps = divided("{ flow { id } project { id } }")
    assert steps == [(Owner.DATA, "{flow{id}project{id}}", set())]


def test_a_query_has_one_step_per_owner() -> None:
    fields, steps = divided("{ a: flow { id } hello b: project { id } __typename api { version } }")
    assert [field.key for field in fields] == ["a", "hello", "b", "__typename", "api"]
    assert steps == [
        (Owner.DATA, "{a:flow{id}b:project{id}}", set()),
        (Owner.ACTIONS, "{hello api{version}}", set()),
        (Owner.GATEWAY, "{__typename}", set()),
    ]


def test_a_step_takes_only_the_variables_it_uses_with_their_defaults() -> None:
    _, steps = divided(
        "query Q($n: Int = 3, $id: uuid!, $v: JSON) {"
        " flow(limit: $n) { id } flow_by_pk(id: $id) { id } echo(value: $v) }"
    )
    assert steps == [
        (Owner.DATA, "query($n:Int=3$id:uuid!){flow(limit:$n){id}flow_by_pk(id:$id){id}}", {"n", "id"}),
        (Owner.ACTIONS, "query($v:JSON){echo(value:$v)}", {"v"}),
    ]


def test_a_variable_inside_an_input_object_counts_as_used() -> None:
    _, steps = divided("query($n: String, $c: Int) { flow(where: {_and: [{name: {_eq: $n}}]}) { id } echo(count: $c) }")
    assert [used for _, _, used in steps] == [{"n"}, {"c"}]


def test_a_step_takes_only_the_fragments_it_uses_through_other_fragments() -> None:
    _, steps = divided(
        """
        query($w: Boolean!) { flow { ...F } api { ...A } }
        fragment F on flow { id project { ...P } }
        fragment P on project { name @include(if: $w) }
        fragment A on api_info { version }
        """
    )
    assert steps == [
        (
            Owner.DATA,
            "query($w:Boolean!){flow{...F}}"
            "fragment F on flow{id project{...P}}fragment P on project{name@include(if:$w)}",
            {"w"},
        ),
        (Owner.ACTIONS, "{api{...A}}fragment A on api_info{version}", set()),
    ]


def test_fragments_on_the_root_are_written_out() -> None:
    fields, steps = divided(
        """
        query { ...R ... on Query { project { id } } ... { hello } }
        fragment R on Query { flow { ...F } api { version } }
        fragment F on flow { id }
        """
    )
    assert [field.key for field in fields] == ["flow", "api", "project", "hello"]
    assert steps == [
        (Owner.DATA, "{flow{...F}project{id}}fragment F on flow{id}", set()),
        (Owner.ACTIONS, "{api{version}hello}", set()),
    ]


def test_conditions_on_root_fragments_are_kept_around_what_is_left() -> None:
    _, steps = divided(
        """
        query($a: Boolean!, $b: Boolean!) { ...R @include(if: $a) }
        fragment R on Query { flow @skip(if: $b) { id } hello }
        """
    )
    assert steps == [
        (
            Owner.DATA,
            "query($a:Boolean!$b:Boolean!){...@include(if:$a){flow@skip(if:$b){id}}}",
            {"a", "b"},
        ),
        (Owner.ACTIONS, "query($a:Boolean!){...@include(if:$a){hello}}", {"a"}),
    ]


def test_directives_on_root_fields_are_copied() -> None:
    _, steps = divided("query($a: Boolean!) { flow @include(if: $a) { id } hello }")
    assert steps[0] == (Owner.DATA, "query($a:Boolean!){flow@include(if:$a){id}}", {"a"})


def test_a_mutation_keeps_its_order_and_neighbours_of_the_actions_go_together() -> None:
    _, steps = divided(
        """
        mutation {
          a: set_name(input: {name: "a"}) { success }
          b: set_name(input: {name: "b"}) { success }
          c: insert_flow(name: "c") { affected_rows }
          d: insert_flow(name: "d") { affected_rows }
          e: set_name(input: {name: "e"}) { success }
        }
        """
    )
    assert [(owner, text) for owner, text, _ in steps] == [
        (
            Owner.ACTIONS,
            'mutation{a:set_name(input:{name:"a"}){success}b:set_name(input:{name:"b"}){success}}',
        ),
        (Owner.DATA, 'mutation{c:insert_flow(name:"c"){affected_rows}}'),
        (Owner.DATA, 'mutation{d:insert_flow(name:"d"){affected_rows}}'),
        (Owner.ACTIONS, 'mutation{e:set_name(input:{name:"e"}){success}}'),
    ]


def test_a_key_written_twice_runs_once_where_it_came_first() -> None:
    _, steps = divided(
        """
        mutation {
          a: set_name(input: {name: "a"}) { success }
          c: insert_flow(name: "c") { affected_rows }
          a: set_name(input: {name: "a"}) { error }
        }
        """
    )
    assert [text for _, text, _ in steps] == [
        'mutation{a:set_name(input:{name:"a"}){success}a:set_name(input:{name:"a"}){error}}',
        'mutation{c:insert_flow(name:"c"){affected_rows}}',
    ]


def test_root_fields_know_place_and_nullability() -> None:
    fields, _ = divided("{\n  x: flow { id }\n  flow_by_pk(id: 1) { id }\n}")
    assert [(field.key, field.name, field.nullable, field.line, field.column) for field in fields] == [
        ("x", "flow", False, 2, 3),
        ("flow_by_pk", "flow_by_pk", True, 3, 3),
    ]


def test_a_fragment_is_written_out_once() -> None:
    """Spreads of spreads of spreads, each twice, stand for the fields of the innermost, not for thousands of them."""
    levels = 12
    parts = [f"fragment F{n} on Query {{ ...F{n + 1} ... {{ ...F{n + 1} }} }}" for n in range(levels)]
    fields, steps = divided(
        f"{{ ...F0 ...F0 }} {' '.join(parts)} fragment F{levels} on Query {{ hello flow {{ id }} }}"
    )
    assert [field.key for field in fields] == ["hello", "flow"]
    assert [text for _, text, _ in steps] == ["{hello}", "{flow{id}}"]


def test_a_conditional_spread_does_not_stand_for_another() -> None:
    """Under one condition twice is once; under another, or under none, is another matter."""
    _, [(_, text, _)] = divided(
        "query($a: Boolean!, $b: Boolean!) { ...F @include(if: $a) ...F @include(if: $a) ...F @include(if: $b)"
        " ... @skip(if: $a) { ...F } ...F ...F @include(if: $a) } fragment F on Query { hello }"
    )
    assert text == (
        "query($a:Boolean!$b:Boolean!){...@include(if:$a){hello}...@include(if:$b){hello}...@skip(if:$a){hello}hello}"
    )
