"""What our gateway is measured beside: a stub in the upstreams' place, the least proxy there can be, and Apollo's."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory
from typing import Final

from graphql import build_schema, introspection_from_schema

from bench.peers.install import Missing, npm
from bench.servers import NotReady, asgi, free_port, running

PACKAGE: Final = Path(__file__).with_name("package.json")
SERVER: Final = Path(__file__).with_name("apollo.js")
DATA: Final = "/v1alpha1/graphql"
ACTIONS: Final = "/graphql/"
_ROOT: Final = Path(__file__).parents[3]
_SCHEMAS: Final = {
    DATA: _ROOT / "tests" / "unit" / "data" / "schema.graphql",
    ACTIONS: _ROOT / "services" / "graphql" / "schema.graphql",
}


@contextmanager
def stub() -> Iterator[str]:
    """Run the stub for a block; yields the URL to which DATA and ACTIONS are paths."""
    port = free_port()
    with TemporaryDirectory(prefix="prefect-server-bench-") as folder:
        schemas = Path(folder, "schemas.json")
        said = {
            path: introspection_from_schema(build_schema(file.read_text(), assume_valid=True))
            for path, file in _SCHEMAS.items()
        }
        schemas.write_text(json.dumps(said))
        command = [sys.executable, "-m", "bench.peers.gateways.stub", str(port), str(schemas)]
        with running(command, ready=f"http://127.0.0.1:{port}/ready"):
            yield f"http://127.0.0.1:{port}"


@contextmanager
def stream_proxy(upstream: str) -> Iterator[tuple[str, "Popen[bytes]"]]:
    """Run the least proxy for a block; yields its URL and the process."""
    settings = {"BENCH_UPSTREAM": upstream + DATA}
    with asgi("bench.peers.gateways.stream_proxy:app", environment=settings) as (url, process):
        yield f"{url}/", process


@contextmanager
def apollo(upstream: str) -> Iterator[tuple[str, "Popen[bytes]"]]:
    """Run the Apollo gateway for a block; yields its URL and the process.

    Raises:
        Missing: it cannot be installed, or does not start here.
    """
    folder = npm("apollo", PACKAGE)
    shutil.copy(SERVER, folder / SERVER.name)
    port = free_port()
    settings = {
        **{"PORT": str(port), "DATA_URL": upstream + DATA, "GRAPHQL_URL": upstream + ACTIONS},
        "NODE_ENV": "production",
    }
    try:
        with running(
            ["node", SERVER.name], ready=f"http://127.0.0.1:{port}/ready", environment=settings, folder=folder
        ) as process:
            yield f"http://127.0.0.1:{port}/", process
    except NotReady as error:
        raise Missing(f"it does not start: {str(error).strip().splitlines()[-1]}") from error
