"""TLS to Postgres (demands.md 23): pools and migrations read one DSN alike, and say in one line what is wrong."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from server_core.db.connection import engine, opened, wait_until_ready
from server_core.db.session import Database
from server_core.errors import ConfigError
from services.data.execute import Postgres
from tests.support.postgres_matrix import running


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def authority(folder: Path, name: str) -> None:
    """Make a certificate authority."""
    openssl(
        folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
        "-keyout", f"{name}.key", "-out", f"{name}.crt", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip


def certificate(folder: Path, name: str, ca: str, subject: str, extension: str = "") -> None:
    """Make a key and a certificate that an authority signed."""
    (folder / "extensions").write_text(extension)
    openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={subject}", "-keyout", f"{name}.key",
            "-out", f"{name}.csr")  # fmt: skip
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.crt", "-CAkey", f"{ca}.key", "-CAcreateserial",
            "-days", "2", "-extfile", "extensions", "-out", f"{name}.crt")  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Port of a Postgres that takes TLS only (certificate for `localhost`), and the folder of the certificates."""
    installations = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not installations or shutil.which("openssl") is None:
        pytest.skip("no Postgres with TLS (Debian's), or no openssl: the embedded one is built without")
    folder = tmp_path_factory.mktemp("tls")
    authority(folder, "ours")
    authority(folder, "theirs")
    certificate(folder, "server", "ours", "localhost", "subjectAltName=DNS:localhost")
    certificate(folder, "client", "ours", "tls_user")
    (folder / "hba").write_text("hostssl all tls_user all cert\nhostssl all postgres all trust\n")
    settings = {
        "ssl": "on",
        "ssl_cert_file": str(folder / "server.crt"),
        "ssl_key_file": str(folder / "server.key"),
        "ssl_ca_file": str(folder / "ours.crt"),
        "hba_file": str(folder / "hba"),
    }
    for path in folder.iterdir():
        path.chmod(0o644)
    for key in ("server.key", "client.key"):
        (folder / key).chmod(0o600)
    for parent in (folder, *folder.parents):  # the account of that Postgres is another one
        if parent == Path(tempfile.gettempdir()):
            break
        parent.chmod(parent.stat().st_mode | 0o011)
    with running(installations[-1].parents[1], settings, [folder / "server.key"]) as url:
        yield urlsplit(url).port or 0, folder


def dsn_of(place: tuple[int, Path], query: str, *, host: str = "localhost", user: str = "postgres") -> str:
    port, folder = place
    return f"postgresql://{user}@{host}:{port}/postgres?{query.replace('FOLDER', quote(str(folder)))}"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "sslmode=prefer",
        "sslmode=require",
        "sslmode=verify-ca&sslrootcert=FOLDER/ours.crt",
        "sslmode=verify-full&sslrootcert=FOLDER/ours.crt",
    ],
)
async def test_every_mode_that_fits_is_let_in_everywhere(place: tuple[int, Path], query: str) -> None:
    dsn = dsn_of(place, query)
    secure = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    async with Database(dsn) as database, database.read() as session:
        assert await session.fetch_value(secure)
    async with opened(dsn) as connection:
        assert await connection.fetchval(secure)
    migrations = engine(dsn)
    async with migrations.connect() as session:
        assert (await session.exec_driver_sql(secure)).scalar()
    await migrations.dispose()
    data = Postgres(dsn)
    await data.start()
    assert (await data.run(secure))[0][0]
    await data.stop()


async def test_a_client_certificate(place: tuple[int, Path]) -> None:
    query = "sslmode=verify-full&sslrootcert=FOLDER/ours.crt&sslcert=FOLDER/client.crt&sslkey=FOLDER/client.key"
    async with opened(dsn_of(place, "")) as connection:
        await connection.execute("CREATE ROLE tls_user LOGIN")
    async with opened(dsn_of(place, query, user="tls_user")) as connection:
        assert await connection.fetchval("SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()")


@pytest.mark.parametrize(
    ("query", "host", "user", "message"),
    [
        ("sslmode=disable", "localhost", "postgres", "refused the role: .*no encryption"),
        ("sslmode=verify-ca&sslrootcert=FOLDER/theirs.crt", "localhost", "postgres", "TLS connection .* failed"),
        ("sslmode=verify-full&sslrootcert=FOLDER/ours.crt", "127.0.0.1", "postgres", "TLS connection .* failed.*127"),
        ("sslmode=require", "localhost", "tls_user", "refused the role: .*certificate"),
        ("sslmode=verify-full&sslrootcert=FOLDER/no.crt", "localhost", "postgres", "cannot be used: .*no.crt"),
    ],
)
async def test_what_does_not_fit_is_one_line(
    place: tuple[int, Path], query: str, host: str, user: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        await wait_until_ready(dsn_of(place, query, host=host, user=user), retry_seconds=0.1, timeout_seconds=5)
    assert "\n" not in caught.value.message
