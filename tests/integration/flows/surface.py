"""Prints as JSON what the client offers that may talk to a server, by kind: found by looking, not from a list."""

import ast
import importlib
import inspect
import json
import pkgutil
from pathlib import Path

import prefect.agent
import prefect.artifacts
import prefect.backend
import prefect.tasks.prefect
from prefect import Client
from prefect.backend import FlowRunView, FlowView, TaskRunView, TenantView, execution, flow_run
from prefect.cli import cli


def public(owner, kind):
    """Return names of what an object has of a kind, without what is hidden."""
    return [name for name, _ in inspect.getmembers(owner, kind) if not name.startswith("_")]


def own(module, kind):
    """Return public names that a module itself defines."""
    return [name for name in public(module, kind) if getattr(module, name).__module__ == module.__name__]


def leaves(command, path=()):
    """Return every command of the CLI that does something, with its words."""
    below = getattr(command, "commands", {})
    found = [word for name, each in below.items() for word in leaves(each, (*path, name))]
    if path and (not below or getattr(command, "invoke_without_command", False)):
        found.append(" ".join(path))
    return found


def calls_of_agents():
    """Return per kind of agent the methods of the client that its module calls."""
    found = {}
    for module in pkgutil.walk_packages(prefect.agent.__path__, "prefect.agent."):
        if not module.name.endswith(".agent"):
            continue
        source = Path(importlib.util.find_spec(module.name).origin).read_text()
        found[module.name.removeprefix("prefect.agent.")] = sorted(
            {
                node.func.attr
                for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Attribute)
                and node.func.value.attr == "client"
            }
        )
    return found


if __name__ == "__main__":
    told = {
        "methods": public(Client, inspect.isfunction),
        "views": sorted(
            {
                f"{view.__name__}.{name}"
                for view in (FlowView, FlowRunView, TaskRunView, TenantView)
                for name in public(view, lambda member: inspect.isfunction(member) or inspect.ismethod(member))
            }
        ),
        "functions": [
            *(name for module in (execution, flow_run, prefect.artifacts) for name in own(module, inspect.isfunction)),
            *public(prefect.backend, inspect.isfunction),
        ],
        "tasks": [
            name
            for name in vars(prefect.tasks.prefect)
            if isinstance(getattr(prefect.tasks.prefect, name), prefect.Task)
            or (
                inspect.isclass(getattr(prefect.tasks.prefect, name))
                and issubclass(getattr(prefect.tasks.prefect, name), prefect.Task)
            )
        ],
        "commands": sorted(leaves(cli)),
        "agents": calls_of_agents(),
    }
    print(json.dumps(told))
