"""A gateway in front of two small services, for each test anew."""

from collections.abc import AsyncIterator

import pytest

from tests.support.gateway import Served, served


@pytest.fixture
async def gateway() -> AsyncIterator[Served]:
    """Return a running gateway."""
    async with served() as running:
        yield running
