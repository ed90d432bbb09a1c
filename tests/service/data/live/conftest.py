"""The data API with live queries under a real uvicorn, on a database that tests write to.

serving     start one with settings of its own: `async with serving(max_sockets=1) as served: …`
served      one that never polls: what arrives was told by a notification
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from server_core.config import DataSettings, LiveSettings
from services.data.app import DataService, create_app, create_service
from services.data.catalog.model import QualifiedName
from tests.support.servers import listening
from tests.support.settings import data_settings, server_settings
from tests.support.waiting import wait_until

NEVER = 3600.0


@dataclass(frozen=True, kw_only=True)
class Served:
    """A running data API: where it is, and its inside for what a client cannot see."""

    url: str
    service: DataService

    async def covered(self, *tables: str) -> None:
        """Return when changes of these tables are told by notifications."""
        wanted = frozenset(QualifiedName("public", name) for name in tables)
        hub = self.service._hub
        await wait_until(lambda: wanted <= hub._covered, seconds=20, what=f"notifications of {wanted}")


Serving = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def serving(database_url: str) -> Serving:
    """Start a data API on the test's database, with these of LiveSettings, and of DataSettings under `data`."""

    @asynccontextmanager
    async def serve(data: DataSettings | None = None, **options: Any) -> AsyncIterator[Served]:
        given = {"poll_interval_seconds": NEVER, "min_interval_seconds": 0.0, **options}
        settings = server_settings(data=data or data_settings(), live=LiveSettings(**given))
        service = create_service(settings, database_url)
        async with listening(create_app(service)) as url:
            yield Served(url=url, service=service)

    return serve


@pytest.fixture
async def served(serving: Serving) -> AsyncIterator[Served]:
    """A data API that never polls."""
    async with serving() as one:
        yield one
