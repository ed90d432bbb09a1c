"""A list too long to be answered whole, through the real server in each way of running it (data-api.md §2.1)."""

import json
from uuid import UUID

import pytest

from tests.integration.test_replicas import new_flow
from tests.support.exchange import over_socket, posted
from tests.support.whole_server import Server

LINES = 30_000
INSERT = """
INSERT INTO log (flow_run_id, message)
SELECT $1::uuid, lpad(n::text, 6, '0') || repeat(md5(n::text), 6) FROM generate_series(1, $2::int) n
"""
LIST = '{ log(where: {flow_run_id: {_eq: "%s"}}, order_by: {message: asc}%s) { id message flow_run_id } }'


@pytest.mark.every_topology
async def test_every_line_comes_once_and_in_order(server: Server) -> None:
    """In chunks, and plainly the same as page by page."""
    flow_id = await new_flow(server)
    run_id = (await server.mutate("create_flow_run", flow_id=flow_id))["id"]
    async with server.database.autocommit() as session:
        await session.execute(INSERT, UUID(run_id), LINES)
    paged = []
    for offset in range(0, LINES, 5_000):
        paged += (await server.query(LIST % (run_id, f", limit: 5000, offset: {offset}")))["log"]
    reply = await over_socket(server.url)(posted(LIST % (run_id, "")))
    assert reply.headers["transfer-encoding"] == "chunked"
    assert len(reply.body) > 8_000_000
    assert json.loads(reply.body) == {"data": {"log": paged}}
    assert (await server.query(LIST % (run_id, f", limit: {LINES}")))["log"] == paged
