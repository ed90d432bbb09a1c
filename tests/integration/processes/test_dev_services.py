"""`dev services`: exactly the processes that were asked for, started anew when their code changes, none left behind."""

import asyncio
import os
import pty
import shutil
import signal
import socket
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from server_core.config_values import environment_name
from tests.support.processes import Machine, Process, eventually, free_ports, graphql

ROOT = Path(__file__).parents[3]

PORTS = ("gateway.port", "data.port", "graphql.port", "towel.port")


def ports() -> dict[str, str]:
    """Return settings that give the services ports of their own."""
    return {environment_name(key): str(port) for key, port in zip(PORTS, free_ports(4), strict=True)}


@pytest.fixture
def machine_with_database(machine: Machine, database_url: str) -> Machine:
    """A machine whose services have a database."""
    machine.environ = ports() | {environment_name("database.connection_url"): database_url}
    return machine


@pytest.fixture
def tree(tmp_path: Path, machine: Machine) -> Path:
    """A copy of the source tree, which is what runs on the machine."""
    copy = tmp_path / "clone"
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in ("services", "src", "migrations"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignore)
    machine.environ["PYTHONPATH"] = f"{copy / 'src'}:{copy}"
    machine.folder = copy  # which `python -m` puts first
    return copy


def children(process: Process) -> dict[int, str]:
    """Return the child processes by their id, with what they were told to run."""
    found = {}
    for child in psutil.Process(process.child.pid).children(recursive=True):
        words = child.cmdline()
        if "--exit-with-parent" not in words:  # forked, and not yet what it is to be
            continue
        found[child.pid] = " ".join(words[words.index("server_core.cli") + 1 : words.index("--exit-with-parent")])
    return found


async def none_lives(pids: list[int]) -> bool:
    return not any(map(psutil.pid_exists, pids))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), ["services gateway", "services data", "services graphql", "services towel"]),
        (("-i", "apollo,graphql"), ["services gateway", "services graphql"]),
        (("-e", "graphql"), ["services gateway", "services data", "services towel"]),
        (("-i", "lazarus"), ["services towel --loops lazarus"]),
    ],
    ids=["all", "include", "exclude", "one loop"],
)
async def test_exactly_what_is_asked_for_runs_and_ends_with_ctrl_c(
    machine_with_database: Machine, options: list[str], expected: list[str]
) -> None:
    services = await machine_with_database.run("dev", "services", *options)
    for name in (words.split()[-1] for words in expected):
        await services.line(rf"^{name} +\| .*ready at ")
    running = children(services)
    assert sorted(running.values()) == sorted(expected)
    assert await services.stop(signal.SIGINT, seconds=10) == 0
    assert await none_lives(list(running)), services.output
    assert "Traceback" not in services.output


async def test_single_loops_are_processes_of_their_own(machine_with_database: Machine) -> None:
    services = await machine_with_database.run("dev", "services", "-i", "scheduler,zombie_killer")
    async with httpx.AsyncClient() as client:
        for loop in ("scheduler", "zombie_killer"):
            url = (await services.line(rf"^{loop} +\| .*ready at (\S+)"))[1]
            assert list((await client.get(f"{url}/health")).json()["loops"]) == [loop]
    assert await services.stop(seconds=10) == 0


async def test_unknown_names_are_refused_with_the_known_ones(machine: Machine) -> None:
    services = await machine.run("dev", "services", "-i", "graphql,ui")
    assert await services.wait() == 1
    assert services.lines == [
        "prefect-server: Unknown service ui; the services are gateway, data, graphql, towel, apollo, hasura,"
        " the loops scheduler, lazarus, zombie_killer, removal, retention, statistics."
    ]


async def test_the_legacy_workflow_on_the_dev_database(machine: Machine) -> None:
    """`dev infrastructure`, `database upgrade`, `dev services`: each finds what the one before it runs."""
    infrastructure = await machine.run("dev", "infrastructure", "--embedded", "--port", str(free_ports(1)[0]))
    await infrastructure.line("Postgres is ready")
    upgrade = await machine.run("database", "upgrade")
    assert await upgrade.wait() == 0, upgrade.output
    machine.environ = ports()
    services = await machine.run("dev", "services")
    url = (await services.line(r"gateway \| .*ready at (\S+)"))[1]
    for line in (r"data    \| .*ready at", r"graphql \| .*ready at", r"towel   \| .*is ready"):
        await services.line(line)

    async def ready() -> bool:
        async with httpx.AsyncClient(timeout=10) as client:
            return (await client.post(url, json={"query": "{ tenant { id } }"})).status_code == 200

    await eventually(ready)
    assert len((await graphql(url, "{ tenant { id } }"))["tenant"]) == 1
    assert await services.stop(signal.SIGINT, seconds=10) == 0
    assert await infrastructure.stop() == 0


async def test_an_edit_starts_the_service_anew_and_a_mistake_waits_for_the_next_edit(
    machine_with_database: Machine, tree: Path
) -> None:
    services = await machine_with_database.run("dev", "services", "-i", "gateway,data")
    for name in ("gateway", "data"):
        await services.line(rf"^{name} +\| .*ready at ")
    before = {words: pid for pid, words in children(services).items()}
    code = tree / "services/data/app.py"
    whole = code.read_text("utf-8")

    code.write_text(whole + "\ndef broken(:\n", "utf-8")
    await services.line(r"^services/data/app.py, line \d+: .*; what runs goes on with the code as it was$")
    assert {words: pid for pid, words in children(services).items()} == before
    said = len(services.lines)

    code.write_text(whole + '\nprint("the code of the edit")\n', "utf-8")
    await services.line(r"^data    \| services/data/app.py was changed: starting anew$")
    await services.line(r"^data    \| the code of the edit$")

    async def ready_again() -> bool:
        return any(line.startswith("data    | ") and "ready at" in line for line in services.lines[said:])

    await eventually(ready_again)
    after = {words: pid for pid, words in children(services).items()}
    assert after["services gateway"] == before["services gateway"]
    assert after["services data"] != before["services data"]
    os.kill(services.child.pid, signal.SIGKILL)

    async def gone() -> bool:
        return await none_lives(list(after.values()))

    await eventually(gone, seconds=10)


async def test_without_reload_an_edit_does_nothing(machine_with_database: Machine, tree: Path) -> None:
    """What is started anew then is what ended by itself."""
    services = await machine_with_database.run("dev", "services", "-i", "gateway", "--no-reload")
    await services.line(r"^gateway \| .*ready at ")
    (tree / "services/gateway/app.py").touch()
    (pid,) = children(services)  # an edit that was seen would be acted on sooner than the pause is over
    os.kill(pid, signal.SIGKILL)
    await services.line(r"^gateway \| ended with SIGKILL; it is started again in 1 s$")

    async def other() -> bool:
        return [*children(services)] not in ([], [pid])

    await eventually(other)
    assert "starting anew" not in services.output
    assert await services.stop(seconds=10) == 0


async def test_a_service_that_cannot_run_is_tried_again_and_the_others_run(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        machine.environ = ports() | {environment_name("graphql.port"): port}
        machine.environ[environment_name("database.connection_url")] = "postgresql://nobody@127.0.0.1:1/none"
        services = await machine.run("dev", "services", "-i", "gateway,graphql")
        await services.line(rf"^graphql \| prefect-server: Port {port} on 127.0.0.1 is in use")
        await services.line(r"^graphql \| ended with exit code 1; it is started again in 1 s$")
        await services.line(r"^gateway \| .*ready at ")
    await services.line(r"^graphql \| .*waiting for the database")
    assert await services.stop(seconds=10) == 0


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
async def test_colours_are_for_terminals_that_want_them(
    machine: Machine, environ: dict[str, str], coloured: bool
) -> None:
    screen, terminal = pty.openpty()
    services = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server_core.cli", "dev", "services", "-i", "gateway"),
        env={**os.environ, environment_name("home"): str(machine.home), **ports(), "NO_COLOR": "", **environ},
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    try:
        printed = b""
        while b"ready at" not in printed:
            printed += await asyncio.to_thread(os.read, screen, 4096)
        assert (b"\x1b[36mgateway |" in printed) is coloured
        services.send_signal(signal.SIGINT)
        assert await services.wait() == 0
    finally:
        if services.returncode is None:
            os.killpg(services.pid, signal.SIGKILL)
            await services.wait()
        os.close(screen)
