"""Databases for tests, and the marker each folder stands for.

    database_url         DSN of a clean, migrated database that no other worker uses
    database             an open Database on it
    context              an ActionContext on that
    empty_database_url   DSN of a fresh database without a schema

All are made on first use: a run of unit tests starts no Postgres.
"""

import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Generator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from server_core.actions.context import ActionContext
from server_core.db.session import Database
from tests.support.cluster import Cluster, Folder, connected, disconnect, empty
from tests.support.environments import CACHE
from tests.support.settings import PLAN_CACHE
from tests.support.waiting import awaited
from tests.support.whole_server import TOPOLOGIES

if sys.dont_write_bytecode:
    # Whoever wants no files beside the sources still need not wait for all of them to be compiled at each run.
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(CACHE / "bytecode")

TIERS = ("unit", "service", "integration")
FOLDER = pytest.StashKey[Folder]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the integration tests be run against each way of running the server."""
    parser.addoption(
        "--topology",
        choices=TOPOLOGIES,
        help="run the server of the integration tests so, and only so; by default it is one process, and a few tests"
        " are repeated with the others",
    )
    parser.addoption(
        "--plan-cache",
        choices=("on", "off"),
        default="on",
        help="off: the services plan each request anew; the answers must be the same",
    )
    parser.addoption("--fuzz", type=int, default=200, help="how many requests and documents to invent")
    parser.addoption("--fuzz-seed", help="what they follow from, to repeat a run; a new one by default")
    parser.addoption(
        "--every-revision",
        action="store_true",
        help="let the real client and agent run on adopted databases of all 19 legacy revisions, not of four",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Make the run's folder in the controller; a worker is told of it."""
    os.environ[PLAN_CACHE] = config.getoption("--plan-cache")
    given = getattr(config, "workerinput", {}).get("folder")
    if given is not None:
        config.stash[FOLDER] = Folder(Path(given))
        return
    config.stash[FOLDER] = folder = Folder.create()
    if config.option.basetemp is None:
        # pytest's own place is shared by all runs of a user, and each start of one closes it to other accounts again:
        # to that of an embedded Postgres, too, which runs as somebody else when we are root.
        config.option.basetemp = str(folder.path / "tmp")
    # `timeout pytest …` ends us with SIGTERM: leave by the same way as Ctrl-C, so that the database is stopped.
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker where the run's folder is."""
    node.workerinput["folder"] = str(node.config.stash[FOLDER].path)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what the run started, after the last worker is gone."""
    if FOLDER in config.stash and not hasattr(config, "workerinput"):
        config.stash[FOLDER].remove()


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """The folder decides the marker."""
    here = Path(__file__).parent
    for item in items:
        tier = item.path.relative_to(here).parts[0]
        if tier in TIERS:
            item.add_marker(tier)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what every task waits for, of a test that took too long; a stack of threads ends in the event loop."""
    report = yield
    runner = getattr(item, "funcargs", {}).get("_session_scoped_runner")
    if report.failed and runner is not None and "Timeout (>" in str(call.excinfo and call.excinfo.value):
        report.sections.append(("tasks", awaited(runner.get_loop())))
    return report


def pytest_collection_finish() -> None:
    """Keep what collection made, hundreds of thousands of objects, out of every later garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
async def cluster(pytestconfig: pytest.Config) -> Cluster:
    """The run's Postgres server."""
    return await pytestconfig.stash[FOLDER].cluster()


@pytest.fixture(scope="session")
async def worker_database_url(cluster: Cluster, pytestconfig: pytest.Config) -> str:
    """The worker's clone of the template; tests use database_url, which is this one emptied."""
    worker = getattr(pytestconfig, "workerinput", {}).get("workerid", "main")
    return await cluster.create(f"{cluster.run}_{worker}", template=cluster.template)


@pytest.fixture
async def database_url(worker_database_url: str) -> str:
    """DSN of a clean, migrated database, private to this worker."""
    async with connected(worker_database_url) as connection:
        try:
            await empty(connection)
        except asyncpg.LockNotAvailableError:
            # A test before this one left a transaction open.
            await disconnect(connection, await connection.fetchval("SELECT current_database()"))
            await empty(connection)
    return worker_database_url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open Database on database_url."""
    async with Database(database_url) as opened:
        yield opened


@pytest.fixture
async def context(database: Database) -> ActionContext:
    """What every verb is given, with default settings and the real clock."""
    return ActionContext(database=database)


@pytest.fixture
async def empty_database_url(cluster: Cluster) -> AsyncIterator[str]:
    """DSN of a fresh database without a schema; dropped after the test."""
    name = f"{cluster.run}_{uuid4().hex[:12]}"
    yield await cluster.create(name)
    await cluster.drop(name)
