"""`prefect-server start` as a user meets it: ready, kept data, clear refusals, a clean end."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import httpx
import pytest

from server_core.cli.embedded import running_embedded
from server_core.db.embedded import EmbeddedPostgres
from tests.support.processes import Machine, Process, eventually, graphql

CREATE = "mutation($input: create_project_input!) { create_project(input: $input) { id } }"


async def started(machine: Machine, *arguments: str, **environ: str) -> tuple[Process, str]:
    process = await machine.run("start", "--port", "0", *arguments, **environ)
    return process, await process.url()


@asynccontextmanager
async def locked_tenants(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Hold up every query on tenants until the block ends."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("BEGIN; LOCK TABLE public.tenant IN ACCESS EXCLUSIVE MODE")
        yield connection
    finally:
        connection.terminate()


async def held_up(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Wait until a client's query waits for the lock; so does, for a moment, the loop that looks at tables' sizes."""

    async def waits() -> bool:
        return bool(
            await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                " AND query NOT LIKE '%pg_relation_size%'"
            )
        )

    await eventually(waits)


async def test_it_serves_and_keeps_what_it_stored(machine: Machine) -> None:
    process, url = await started(machine)
    assert f"embedded Postgres in {machine.home}/postgres" in process.output
    assert "prefect backend server" in process.output
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{url}/health")).json()["status"] == "ok"
        loops = (await client.get(f"{url}/towel/health")).json()["loops"]
        assert {"scheduler", "lazarus", "zombie_killer"} <= set(loops)
        assert 'prefect_server_loop_leader{loop="lazarus"}' in (await client.get(f"{url}/metrics")).text
    tenants = (await graphql(url, "{ tenant { id slug } }"))["tenant"]
    assert [tenant["slug"] for tenant in tenants] == ["default"]
    created = await graphql(url, CREATE, input={"tenant_id": tenants[0]["id"], "name": "kept"})
    assert await process.stop() == 0
    assert not machine.postgres_runs

    process, url = await started(machine)
    again = await graphql(url, "{ tenant { id slug } project { id name } }")
    assert again == {"tenant": tenants, "project": [{"id": created["create_project"]["id"], "name": "kept"}]}
    assert await process.stop(signal.SIGINT) == 0
    assert not machine.postgres_runs


async def test_people_read_stdout_and_machines_read_stderr(machine: Machine) -> None:
    process, url = await started(machine)
    await graphql(url, "{ tenant { id } }")
    assert await process.stop() == 0
    records = [json.loads(line) for line in process.logs]
    assert "database schema upgraded" in {record["message"] for record in records}
    assert not [record for record in records if record["severity"] != "INFO" or "exc_info" in record]
    assert not [line for line in process.lines if line not in process.logs and line.startswith("{")]
    assert not [line for line in process.lines if "POST" in line]


async def test_requests_are_logged_on_demand(machine: Machine) -> None:
    process, url = await started(machine, PREFECT_SERVER__LOGGING__ACCESS_LOG="true")
    async with httpx.AsyncClient(base_url=url) as client:
        answer = await client.post("/", json={"query": "{ tenant { id } }"}, headers={"X-Request-ID": "mine"})
        assert answer.headers["x-request-id"] == "mine"
    await process.line(r"POST /.*mine.*\"status\":200")
    assert await process.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_request_in_flight_is_finished(machine: Machine, number: int) -> None:
    process, url = await started(machine)
    dsn = running_embedded(machine.home)
    assert dsn is not None
    async with locked_tenants(dsn) as connection:
        request = asyncio.ensure_future(graphql(url, "{ tenant { slug } }"))
        await held_up(connection)
        process.child.send_signal(number)
        await refused(url)
        process.child.send_signal(signal.SIGTERM)
    assert await request == {"tenant": [{"slug": "default"}]}
    begun = time.monotonic()
    assert await process.wait() == 0
    assert time.monotonic() - begun < 5
    assert not machine.postgres_runs


async def test_a_request_that_never_ends_does_not_hold_a_stop_up(machine: Machine) -> None:
    """It is still locked out when the process has ended; how long that took is up to lifetime.DEADLINE_SECONDS."""
    process, url = await started(machine)
    dsn = running_embedded(machine.home)
    assert dsn is not None
    async with locked_tenants(dsn) as connection:
        request = asyncio.ensure_future(graphql(url, "{ tenant { slug } }"))
        await held_up(connection)
        assert await process.stop() == 0
        await asyncio.wait({request})
    assert request.exception() is not None
    assert not machine.postgres_runs


async def test_a_second_interrupt_ends_it_at_once(machine: Machine) -> None:
    process, url = await started(machine)
    dsn = running_embedded(machine.home)
    assert dsn is not None
    async with locked_tenants(dsn) as connection:
        request = asyncio.ensure_future(graphql(url, "{ tenant { slug } }"))
        await held_up(connection)
        process.child.send_signal(signal.SIGINT)
        await refused(url)
        assert await process.stop(signal.SIGINT) == 130
        await asyncio.wait({request})
    assert request.exception() is not None
    assert not machine.postgres_runs


async def refused(url: str) -> None:
    """Wait until the server accepts no new connections."""
    host, port = url.removeprefix("http://").split(":")

    async def is_refused() -> bool:
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except ConnectionRefusedError:
            return True
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return False

    await eventually(is_refused)


async def test_a_port_in_use_is_said_before_anything_is_started(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await machine.run("start", "--port", str(port))
        assert await process.wait() == 1
    expected = (
        f"prefect-server: Port {port} on 127.0.0.1 is in use: stop what listens there, or choose another with --port."
    )
    assert process.lines == [expected]
    assert not (machine.home / "postgres").exists()


async def test_a_second_server_on_the_same_home_is_refused(machine: Machine) -> None:
    first, url = await started(machine)
    second = await machine.run("start", "--port", "0")
    assert await second.wait() == 1
    assert second.lines[-1].startswith("prefect-server: ")
    assert f"runs on {machine.home}" in second.lines[-1]
    assert "Traceback" not in second.output
    assert await graphql(url, "{ tenant { slug } }") == {"tenant": [{"slug": "default"}]}
    assert await first.stop() == 0


async def test_a_killed_server_loses_nothing(machine: Machine) -> None:
    process, url = await started(machine)
    tenants = (await graphql(url, "{ tenant { id } }"))["tenant"]
    await graphql(url, CREATE, input={"tenant_id": tenants[0]["id"], "name": "kept"})
    await process.kill()
    process, url = await started(machine)
    assert await graphql(url, "{ project { name } }") == {"project": [{"name": "kept"}]}
    assert await process.stop() == 0
    assert not machine.postgres_runs


async def test_an_embedded_postgres_that_dies_is_started_again(machine: Machine) -> None:
    process, url = await started(machine)
    postmaster = EmbeddedPostgres(machine.home).pid
    assert postmaster is not None
    os.kill(postmaster, signal.SIGKILL)
    await process.line("the embedded Postgres ended by itself; starting it again")
    async with httpx.AsyncClient(timeout=30) as client:

        async def answers() -> bool:
            return "errors" not in (await client.post(url, json={"query": "{ tenant { slug } }"})).json()

        await eventually(answers)
    assert await process.stop() == 0
    assert not machine.postgres_runs


async def test_a_stop_before_it_is_ready_leaves_nothing(machine: Machine) -> None:
    process = await machine.run("start", "--port", "0")
    await process.line("Starting the embedded Postgres")
    assert await process.stop(signal.SIGINT) == 0
    assert not machine.postgres_runs
    process, _ = await started(machine)
    assert await process.stop() == 0


class External:
    """A Postgres of somebody else's, with a role `app` that needs the password `p@:/%`."""

    def __init__(self, home: Path) -> None:
        self.server = EmbeddedPostgres(home, {"fsync": "off"})

    async def start(self) -> str:
        return await asyncio.to_thread(self.server.start)

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.stop)

    async def need_password(self) -> str:
        """Create the role and ask it for its password from now on; return its DSN."""
        connection = await asyncpg.connect(running_embedded(self.server.home))
        await connection.execute("CREATE ROLE app LOGIN PASSWORD 'p@:/%'; ALTER DATABASE prefect_server OWNER TO app")
        await connection.execute("ALTER SCHEMA public OWNER TO app")
        rules = "local all postgres trust\nlocal all all scram-sha-256\n"
        await asyncio.to_thread((self.server.data / "pg_hba.conf").write_text, rules)
        await connection.execute("SELECT pg_reload_conf()")
        await connection.close()
        dsn = running_embedded(self.server.home)
        assert dsn is not None
        return dsn.replace("postgresql://postgres@", "postgresql://app:p%40%3A%2F%25@")


@pytest.fixture
async def external() -> AsyncIterator[External]:
    with TemporaryDirectory(prefix="prefect-server-external-") as folder:
        postgres = External(Path(folder))
        try:
            yield postgres
        finally:
            await postgres.stop()


async def test_a_wrong_password_is_one_line(machine: Machine, external: External) -> None:
    await external.start()
    dsn = await external.need_password()
    wrong = dsn.replace("p%40", "x")
    process = await machine.run("start", "--port", "0", "--database-url", wrong)
    assert await process.wait() == 1
    assert "refused the password" in process.lines[-1]
    assert "Traceback" not in process.output
    assert "x%3A" not in process.output

    process, url = await started(machine, "--database-url", dsn)
    assert await graphql(url, "{ tenant { slug } }") == {"tenant": [{"slug": "default"}]}
    assert await process.stop() == 0
    assert not machine.postgres_runs


async def test_it_waits_for_a_database_that_comes_later(machine: Machine, external: External) -> None:
    dsn = await external.start()
    await external.stop()
    process = await machine.run("start", "--port", "0", PREFECT_SERVER__DATABASE__CONNECTION_URL=dsn)
    await process.line("waiting for the database")
    await external.start()
    url = await process.url()
    assert await graphql(url, "{ tenant { slug } }") == {"tenant": [{"slug": "default"}]}
    assert await process.stop() == 0


async def test_a_stop_while_it_waits_for_the_database(machine: Machine, external: External) -> None:
    dsn = await external.start()
    await external.stop()
    process = await machine.run("start", "--port", "0", PREFECT_SERVER__DATABASE__CONNECTION_URL=dsn)
    await process.line("waiting for the database")
    assert await process.stop(seconds=5) == 0


async def test_it_recovers_from_a_database_that_went_away(machine: Machine, external: External) -> None:
    dsn = await external.start()
    process, url = await started(machine, "--database-url", dsn)
    await graphql(url, "{ tenant { slug } }")
    await external.stop()
    async with httpx.AsyncClient(timeout=30) as client:
        response = await client.post(url, json={"query": "{ tenant { slug } }"})
        assert "errors" in response.json()
        assert "Traceback" not in response.text
        await external.start()

        async def answers() -> bool:
            response = await client.post(url, json={"query": "{ tenant { slug } }"})
            return "errors" not in response.json()

        await eventually(answers, seconds=5)
    await external.stop()
    assert await process.stop() == 0
    assert "Traceback" not in process.output
