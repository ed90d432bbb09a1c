"""Prefect 3's own server from PyPI: one process on a Postgres, without what is not asked for here.

Its scheduler and other loops, its page, telemetry, events' storage and triggers are off, as far as settings go. The
requirements are the complete environment of one release, so that all machines measure the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory
from typing import Final

from bench.cycles import Call, Work
from bench.peers.install import Missing, pip
from bench.servers import NotReady, free_port, running

REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")
_OFF: Final = (
    "ANALYTICS_ENABLED",
    "EVENTS_STREAM_OUT_ENABLED",
    "LOGS_STREAM_OUT_ENABLED",
    "LOGS_STREAM_PUBLISHING_ENABLED",
    "METRICS_ENABLED",
    "UI_ENABLED",
    *(f"SERVICES_{name}_ENABLED" for name in ("EVENT_PERSISTER", "EVENT_LOGGER", "TASK_RUN_RECORDER", "TRIGGERS")),
)
_ACCEPTED: Final = r'"status":"ACCEPT"'
_ID: Final = {"id": r'^\{"id":"([^"]+)"'}
_STATE: Final = '{"state": {"type": "%s", "message": "the message of this state"}}'


def version() -> str:
    """Return the release that is measured."""
    lines = REQUIREMENTS.read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith("prefect=="))


@contextmanager
def prefect3(dsn: str) -> Iterator[tuple[str, "Popen[bytes]"]]:
    """Run it on an empty database of a Postgres with pg_trgm for a block; yields its URL and the process.

    Raises:
        Missing: it cannot be installed, or does not start here.
    """
    program = pip("prefect3", REQUIREMENTS) / "prefect"
    port = free_port()
    with TemporaryDirectory(prefix="prefect-server-bench-") as home:
        settings = {
            "PREFECT_HOME": home,
            "PREFECT_API_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{dsn.partition('://')[2]}",
            "PREFECT_LOGGING_LEVEL": "WARNING",
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
            "DO_NOT_TRACK": "1",
            **{f"PREFECT_SERVER_{name}": "false" for name in _OFF},
        }
        command = [str(program), "server", "start", "--no-services", "--no-ui", "--analytics-off"]
        options = ["--host", "127.0.0.1", "--port", str(port)]
        try:
            with running(
                [*command, *options], ready=f"http://127.0.0.1:{port}/api/health", environment=settings, seconds=120
            ) as process:
                yield f"http://127.0.0.1:{port}", process
        except NotReady as error:
            raise Missing(f"it does not start: {str(error).strip().splitlines()[-1]}") from error


def flow_run() -> Work:
    """Return what a client does first, and again and again: create a flow run, three states."""
    create = Call(
        path="/api/flow_runs/",
        body='{"flow_id": "<<flow>>", "name": "run-<<n>>", "parameters": {"n": 1},'
        ' "state": {"type": "SCHEDULED", "message": "Flow run scheduled."}}',
        keep=_ID,
    )
    states = ("PENDING", "RUNNING", "COMPLETED")
    return (_flow(),), (create, *(_set("flow_runs", "id", state) for state in states))


def task_run() -> Work:
    """Return what a client does first, and again and again: create a task run of a running flow run, two states."""
    create = Call(
        path="/api/task_runs/",
        body='{"flow_run_id": "<<run>>", "name": "task-<<n>>", "task_key": "task", "dynamic_key": "<<n>>",'
        ' "state": {"type": "PENDING"}}',
        keep=_ID,
    )
    return (_flow(), *_running()), (create, *(_set("task_runs", "id", state) for state in ("RUNNING", "COMPLETED")))


def logs(count: int) -> Work:
    """Return what a client does first, and again and again: send lines of a flow run."""
    line = (
        '{"name": "prefect.task_runs", "level": 20, "flow_run_id": "<<run>>", "timestamp": "<<now>>",'
        " \"message\": \"Task 'task-<<n>>': Finished task run for task with final state: 'Success'\"}"
    )
    batch = Call(path="/api/logs/", body=f"[{', '.join([line] * count)}]")
    return (_flow(), *_running()), (batch,)


def _flow() -> Call:
    return Call(path="/api/flows/", body='{"name": "bench"}', keep={"flow": _ID["id"]})


def _running() -> tuple[Call, ...]:
    create = Call(
        path="/api/flow_runs/", body='{"flow_id": "<<flow>>", "state": {"type": "SCHEDULED"}}', keep={"run": _ID["id"]}
    )
    return (create, *(_set("flow_runs", "run", state) for state in ("PENDING", "RUNNING")))


def _set(runs: str, name: str, state: str) -> Call:
    return Call(path=f"/api/{runs}/<<{name}>>/set_state", body=_STATE % state, good=_ACCEPTED)
