"""The action service over HTTP (in process) on a real Postgres.

actions     sends one operation, returns status and decoded body
http        an HTTP client on the whole application
"""

from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import pytest

from server_core.config import Settings
from services.graphql.app import create_app, create_service

PATH = "/graphql/"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back.

    Attributes:
        status: of HTTP.
        text: the body.
        body: the same, decoded.
    """

    status: int
    text: str
    body: Any

    @property
    def data(self) -> Any:
        """The `data` of a success; fails the test if there are errors."""
        assert (self.status, set(self.body)) == (200, {"data"}), self.text
        return self.body["data"]

    @property
    def error(self) -> Any:
        """The one error of a failure; fails the test if there is none or several."""
        [error] = self.body["errors"]
        return error


class Send(Protocol):
    """Sends an operation; further keyword arguments are headers, `_` for `-`."""

    def __call__(self, query: str, variables: Mapping[str, Any] | None = None, **headers: str) -> Awaitable[Answer]: ...


@pytest.fixture
async def http(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client on the application, whose service is started."""
    service = create_service(Settings(), database_url)
    await service.start()
    transport = httpx.ASGITransport(app=create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://actions") as client:
        yield client
    await service.stop()


@pytest.fixture
async def actions(http: httpx.AsyncClient) -> Send:
    """Sends an operation to the action service."""

    async def send(query: str, variables: Mapping[str, Any] | None = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await http.post(PATH, json={"query": query, "variables": variables}, headers=named)
        return Answer(status=response.status_code, text=response.text, body=response.json())

    return send
