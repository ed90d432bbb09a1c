"""A database that is not there yet is waited for; one that will never let us in is not."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import pytest

from server_core.db.connection import wait_until_ready
from server_core.db.embedded import EmbeddedPostgres
from server_core.db.migrate import current_revisions
from server_core.db.revisions import Revisions
from server_core.errors import ConfigError, Unavailable
from tests.support.cluster import FAST, connected, with_database

ROLE = "Strict"
PASSWORD = "s3cret@:/%"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a Postgres of this module's own."""
    return tmp_path_factory.mktemp("strict")


@pytest.fixture(scope="module")
def strict(home: Path) -> Iterator[str]:
    """DSN of a Postgres that asks one role for its password."""
    postgres = EmbeddedPostgres(home, FAST)
    dsn = postgres.start()
    yield dsn
    postgres.stop()


@pytest.fixture
async def strict_url(strict: str, home: Path) -> AsyncIterator[str]:
    """DSN of the role, with its password."""
    rules = home / "postgres" / "pg_hba.conf"
    async with connected(strict) as connection:
        await connection.execute(f"CREATE ROLE \"{ROLE}\" LOGIN PASSWORD '{PASSWORD}'")
        before = rules.read_text()
        rules.write_text(f'local all "{ROLE}" scram-sha-256\nlocal all postgres trust\nlocal all all reject\n')
        await connection.fetchval("SELECT pg_reload_conf()")
    yield as_role(strict, ROLE, PASSWORD)
    rules.write_text(before)
    async with connected(strict) as connection:
        await connection.fetchval("SELECT pg_reload_conf()")
        await connection.execute(f'DROP ROLE "{ROLE}"')


def as_role(dsn: str, role: str, password: str) -> str:
    """Return the DSN with other credentials."""
    return urlunsplit(urlsplit(dsn)._replace(netloc=f"{quote(role, safe='')}:{quote(password, safe='')}@"))


async def test_the_right_password_is_let_in(strict_url: str) -> None:
    await wait_until_ready(strict_url, retry_seconds=0.05, timeout_seconds=0.5)
    assert await current_revisions(strict_url) == Revisions(legacy=None, additions=None)


@pytest.mark.parametrize(
    ("role", "password", "database", "message"),
    [
        (ROLE, "wr0ng@", "prefect_server", r"refused the password: .*Strict:\*\*\*@.*password authentication failed"),
        ("nobody", PASSWORD, "prefect_server", r"refused the role: .*nobody"),
        (ROLE, PASSWORD, "nowhere", r"does not exist: .*nowhere.*create it first"),
    ],
)
async def test_waiting_cannot_help(strict_url: str, role: str, password: str, database: str, message: str) -> None:
    dsn = with_database(as_role(strict_url, role, password), database)
    with pytest.raises(ConfigError, match=message) as caught:
        await wait_until_ready(dsn, retry_seconds=0.05, timeout_seconds=0.5)
    for secret in (password, quote(password, safe="")):
        assert secret not in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "dsn",
    [
        "mysql://h/d",
        "postgresql://h:notaport/d",
        "postgresql://u@localhost/d?sslmode=nonsense",
        "postgresql://u@localhost/d?sslmode=verify-full&sslrootcert=/nowhere/root.crt",
    ],
)
async def test_a_url_that_cannot_be_used(dsn: str) -> None:
    with pytest.raises(ConfigError):
        await wait_until_ready(dsn, retry_seconds=0.05, timeout_seconds=0.5)


async def test_a_database_that_comes_late(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    postgres = EmbeddedPostgres(tmp_path, FAST)
    dsn = postgres.start()
    postgres.stop()
    try:
        with caplog.at_level(logging.INFO, "server_core.db.connection"):
            waiting = asyncio.create_task(wait_until_ready(dsn, retry_seconds=0.01))
            await asyncio.to_thread(postgres.start)
            await asyncio.wait_for(waiting, 30)
    finally:
        postgres.stop()
    said = [record.getMessage().split(":")[0] for record in caplog.records]
    assert said == ["waiting for the database", "the database is there"]


async def test_waiting_ends(tmp_path: Path) -> None:
    dsn = f"postgresql://u:secret@/d?host={tmp_path}"
    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        await wait_until_ready(dsn, retry_seconds=0.01, timeout_seconds=0.03)
    assert "secret" not in caught.value.message
