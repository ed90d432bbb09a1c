"""What the client offers is looked up in the client, and each thing of it must be called by a test of this tier.

A release of the client with one more method, view, command or task fails here, as does a test that goes away.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.prefect_client import FLOWS, PrefectClient

TESTS = Path(__file__).parents[1]

INSTEAD: Mapping[str, str] = {
    # What is called in place of it, by a test, and calls it.
    "create_task_run_artifact": "create_link",
    "update_task_run_artifact": "update_link",
    "update_link_artifact": "update_link",
    "get_agent_config": "KubernetesAgent",
    "generate_flow_run_environ": "execute_flow_run_in_subprocess",
    # They speak to nobody, or not to the server.
    "repl": "",
    "server stop": "",
}

OF_AGENTS = {"get_flow_run_state", "set_flow_run_state", "write_run_logs"}
"""What the Kubernetes agent asks the server beyond what all agents ask (client-operations.md §4.3)."""


def names(source: str) -> Iterator[str]:
    """Yield every name that a script uses, other than by importing it."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name):
                yield name


def command_lines(source: str) -> Iterator[str]:
    """Yield the commands of the CLI that a test runs: words of a call, or a text of a table."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr="prefect" | "start" | "agent"), args=words):
                constants = [str(word.value) for word in words if isinstance(word, ast.Constant)]
                yield " ".join(constants).removeprefix("prefect ")
            case ast.Tuple(elts=[ast.Constant(value=str(line)), ast.Constant(value=int()), ast.List()]):
                yield line
            case ast.Tuple(elts=[ast.JoinedStr(values=[ast.Constant(value=str(line)), *_]), *_]):
                yield line
            case ast.Assign(value=ast.JoinedStr(values=[ast.Constant(value=str(line)), *_])):
                yield line


async def test_everything_that_the_client_offers_is_called(client: PrefectClient) -> None:
    """client-operations.md §2, §3, §6, §7: methods, views, functions, tasks, commands and the agents' own calls."""
    there = await client.answers("surface.py")
    scripts = [path for path in FLOWS.glob("*.py") if path.name != "surface.py"]
    used = {name for path in scripts for name in names(path.read_text())}
    lines = [line for path in TESTS.rglob("test_*.py") for line in command_lines(path.read_text())]
    said = {" ".join(line.split()[:count]) for line in lines for count in (1, 2, 3)}

    called = used | said | {name for name, other in INSTEAD.items() if not other or other in used}
    for kind in ("methods", "views", "functions", "tasks", "commands"):
        assert len(there[kind]) > 5
        missing = {name for name in there[kind] if name not in called and name.rpartition(".")[2] not in called}
        assert not missing, (kind, missing)
    known = {name for kind in there.values() for name in kind}
    assert INSTEAD.keys() <= known
    assert not INSTEAD.keys() & (used | said), "it is called after all"

    methods = set(there["methods"])
    own = {agent: methods.intersection(calls) for agent, calls in there["agents"].items() if agent != "agent"}
    assert own == {
        "docker.agent": set(),
        "ecs.agent": set(),
        "kubernetes.agent": OF_AGENTS,
        "local.agent": set(),
        "vertex.agent": set(),
    }
