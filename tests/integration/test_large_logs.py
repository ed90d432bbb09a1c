"""Logs that are larger than a request may be: nothing is sent again for ever (actions.md §2.9, demand 17)."""

import json
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from tests.support.exchange import over_socket, posted
from tests.support.prefect_client import PrefectClient
from tests.support.whole_server import Server

pytestmark = pytest.mark.parametrize("topology", ["one", "four"], indirect=True)
LINES = 1_000
LENGTH = 20_000
WRITE = "mutation($input: write_run_logs_input!) { write_run_logs(input: $input) { success } }"


@pytest.fixture
async def run_id(server: Server, project: str) -> str:
    """A flow run of its own."""
    [row] = await server.rows("SELECT id::text FROM project WHERE name = $1", project)
    flow = await server.mutate("create_flow", project_id=row["id"], serialized_flow={"name": f"flow-{uuid4().hex}"})
    run: str = (await server.mutate("create_flow_run", flow_id=flow["id"]))["id"]
    return run


async def test_the_clients_own_handler(server: Server, new_client: Callable[..., PrefectClient], run_id: str) -> None:
    """Its batches hold 3 to 4 million characters, here 12 MB of JSON each; all lines arrive, none is left."""
    said = await new_client(server).script("many_logs.py", run_id, str(LINES), str(LENGTH))
    assert said.splitlines()[-1] == "left 0"
    [stored] = await server.rows(
        "SELECT count(*) AS lines, min(length(message)) AS least, count(DISTINCT left(message, 6)) AS numbers"
        " FROM log WHERE flow_run_id = $1 AND name = 'prefect.many'",
        UUID(run_id),
    )
    assert (stored["lines"], stored["least"], stored["numbers"]) == (LINES, LENGTH, LINES)


async def test_a_line_too_long_to_store_is_cut(server: Server, run_id: str) -> None:
    """One line of 20 MB is stored as far as it may be, and the answer is success."""
    entry = {"flow_run_id": run_id, "level": "INFO", "message": "y" * 20_000_000}
    reply = await over_socket(server.url)(posted(WRITE, json.dumps({"input": {"logs": [entry]}})))
    assert reply.json() == {"data": {"write_run_logs": {"success": True}}}
    length = await server.value("SELECT length(message) FROM log WHERE flow_run_id = $1", UUID(run_id))
    assert length == 1_000_000


async def test_other_mutations_are_held_to_the_limit(server: Server, run_id: str) -> None:
    """5 MiB, and nothing is done."""
    document = "mutation($input: set_flow_run_name_input!) { set_flow_run_name(input: $input) { success } }"
    change = {"input": {"flow_run_id": run_id, "name": "x" * 6_000_000}}
    reply = await over_socket(server.url)(posted(document, json.dumps(change)))
    assert reply.status == 413
    assert len(await server.value("SELECT name FROM flow_run WHERE id = $1", UUID(run_id))) < 100
