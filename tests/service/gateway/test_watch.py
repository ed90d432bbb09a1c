"""The gateway looks after its upstreams: other schemas are stitched anew, other versions said (data-api.md §3.2)."""

import logging

import pytest
from graphql import build_schema

from server_core.errors import Unavailable
from server_core.observe import server_version
from server_core.wire import GraphQLRequest, GraphQLResponse
from tests.support.gateway import actions_service, data_service, served
from tests.support.upstreams import DATA_SDL, Overridden
from tests.support.waiting import wait_until


async def test_a_schema_that_changes_is_learned_and_one_that_does_not_is_left_alone() -> None:
    data = data_service()
    async with served(data, actions_service(), look_seconds=0.02) as gateway:
        assert (await gateway.post("{ novelty }")).status_code == 400
        begun = data.looks
        await wait_until(lambda: data.looks > begun + 3, seconds=20, what="looks at the upstreams")
        assert data.introspections == 1
        data.schema = build_schema(DATA_SDL.replace("type query_root {", "type query_root { novelty: Int"))

        async def known() -> bool:
            return (await gateway.post("{ novelty }")).status_code == 200

        await wait_until(known, seconds=20, what="the new field")
        assert data.introspections == 2


async def test_versions_that_differ_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    data = data_service()
    data.version = "9.9.9"
    with caplog.at_level(logging.WARNING, "services.gateway"):
        async with served(data, actions_service(), look_seconds=0.02) as gateway:
            for _ in range(3):
                ready = await gateway.client.get("/ready")
                assert ready.status_code == 200
            here = server_version()
            named = f"gateway {here}, data 9.9.9, actions {here}"
            said = f"The services are of different versions: {named}. Run all in the same."
            assert ready.json()["mismatch"] == said
            assert (await gateway.client.get("/health")).json() == {"status": "ok", "version": here, "mismatch": said}
    assert [record.getMessage() for record in caplog.records] == [said]


async def test_a_mutation_of_which_a_part_was_carried_out_invites_nobody_to_send_it_again() -> None:
    """actions.md §0.3: the text API_ERROR makes clients send the whole document again."""

    def away(_: GraphQLRequest) -> GraphQLResponse:
        raise Unavailable("The actions service cannot be reached.")

    insert, rename = 'insert_flow(name: "x") { affected_rows }', 'set_name(input: {name: "x"}) { success }'
    async with served(data_service(), Overridden(actions_service(), away)) as gateway:
        answer = await gateway.answer(f"mutation {{ {insert} {rename} }}")
        assert answer["data"] == {"insert_flow": {"affected_rows": 1}, "set_name": None}
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["OUTCOME_UNKNOWN"]
        answer = await gateway.answer(f"mutation {{ {rename} {insert} }}")
        assert "API_ERROR" not in str(answer)
        answer = await gateway.answer(f"mutation {{ {rename} }}")
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["API_ERROR"]
