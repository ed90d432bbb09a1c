"""A machine of its own for each test: a home folder, processes, and nothing left behind."""

from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.processes import Machine


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    """A machine without a database of its own: what runs on it starts the embedded Postgres."""
    with TemporaryDirectory(prefix="prefect-server-machine-") as folder:
        async with Machine(Path(folder) / "home") as opened:
            yield opened
