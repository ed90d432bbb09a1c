"""Clients that come anew are taken several at a time, however long the turns of the event loop are."""

import asyncio
import socket
from contextlib import ExitStack
from typing import Any

import uvicorn
import uvloop

from server_core.serving import ACCEPTED_AT_ONCE, PROTOCOLS, Server

CLIENTS = 64


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer nothing."""


async def turns_until_all_are_known() -> int:
    """Let clients connect before anybody listens to them; return how many turns it takes to take them in."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=2 * CLIENTS))
        address = listener.getsockname()
        for _ in range(CLIENTS):
            stack.enter_context(socket.create_connection(address))
        config = uvicorn.Config(app, lifespan="off", log_config=None, **PROTOCOLS)
        config.load()
        server = Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup([listener])
        turns = 0
        while len(server.server_state.connections) < CLIENTS:
            await asyncio.sleep(0)
            turns += 1
        await server.shutdown([listener])
        await asyncio.sleep(0)
        probe = stack.enter_context(socket.socket())
        assert probe.connect_ex(address) != 0, "somebody still listens"
        return turns


def test_several_connections_a_turn() -> None:
    assert uvloop.run(turns_until_all_are_known()) <= 2 * CLIENTS // ACCEPTED_AT_ONCE
