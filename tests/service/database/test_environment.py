"""What a database URL leaves out is in the environment or in ~/.pgpass, as for every program of Postgres' own."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from server_core.db.connection import engine, opened
from server_core.db.session import Database
from server_core.errors import ConfigError
from services.data.execute import Postgres
from tests.support.cluster import connected
from tests.support.postgres_matrix import running

ROLE = "o'dd user"
PASSWORD = 'p w/@ "x%#?'
NAMES = ('odd "na/me% ü?#', "Mixed Case", "it's")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of a Postgres that wants a password of everybody but its superuser."""
    installations = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not installations:
        pytest.skip("no Postgres of Debian's: the embedded one asks nobody for a password")
    rules = tmp_path_factory.mktemp("rules") / "hba"
    rules.write_text("host all postgres all trust\nhost all all all md5\n")
    for parent in rules.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    rules.chmod(0o644)
    with running(installations[-1].parents[1], {"hba_file": str(rules)}) as url:
        yield urlsplit(url).port or 0


@pytest.fixture
async def place(port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> int:
    """The same, named by the environment, with an empty home and the role and databases there."""
    environ = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": ROLE, "HOME": str(tmp_path)}
    for name in ("PGPASSWORD", "PGPASSFILE", "PGDATABASE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    async with connected(f"postgresql://postgres@127.0.0.1:{port}/postgres") as connection:
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", ROLE):
            for statement in (
                await connection.fetchval(
                    "SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)", ROLE, PASSWORD
                ),
                *[await connection.fetchval("SELECT format('CREATE DATABASE %I', $1::text)", name) for name in NAMES],
            ):
                await connection.execute(statement)
    return port


async def reached(dsn: str) -> set[str]:
    """Return to which databases everything that connects is led, as whom."""
    asked = "SELECT current_database() || ' ' || current_user"
    async with opened(dsn) as connection:
        found = {await connection.fetchval(asked)}
    async with Database(dsn) as database, database.read() as session:
        found.add(await session.fetch_value(asked))
    migrations = engine(dsn)
    async with migrations.connect() as schema:
        found.add((await schema.exec_driver_sql(asked)).scalar())
    await migrations.dispose()
    data = Postgres(dsn)
    await data.start()
    found.add((await data.run(asked))[0][0])
    await data.stop()
    return found


@pytest.mark.parametrize("name", NAMES)
async def test_the_environment_fills_in_what_the_url_leaves_out(
    place: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert await reached(f"postgresql:///{quote(name, safe='')}") == {f"{name} {ROLE}"}
    monkeypatch.setenv("PGDATABASE", name)
    assert await reached("postgresql://") == {f"{name} {ROLE}"}


async def test_the_password_file_is_read(place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dsn = f"postgresql:///{quote(NAMES[0], safe='')}"
    with pytest.raises(ConfigError, match="refused the password"):
        await reached(dsn)
    for file in (tmp_path / ".pgpass", tmp_path / "elsewhere"):
        file.write_text(f"127.0.0.1:{place}:*:{ROLE}:{PASSWORD}\n")
        file.chmod(0o600)
    assert await reached(dsn) == {f"{NAMES[0]} {ROLE}"}
    (tmp_path / ".pgpass").unlink()
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "elsewhere"))
    assert await reached(dsn) == {f"{NAMES[0]} {ROLE}"}
