"""A serialized flow document, as clients register it → checked, typed rows (actions.md §2.4). Called by actions.flows.

Unknown keys are allowed everywhere; the document itself is stored as it came.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from packaging.version import InvalidVersion, Version

from server_core.errors import InvalidInput
from server_core.flow_document import Edge, Flow, Task
from server_core.rules.durations import parse_duration

INT4_MAX = 2**31 - 1


def parse_flow(document: object, *, core_version_cutoff: str) -> Flow:
    """Read a serialized flow.

    Args:
        document: the decoded JSON.
        core_version_cutoff: flows made by an older client library are refused.

    Raises:
        InvalidInput: something in it cannot be used; the message names the field.
    """
    if not isinstance(document, dict):
        raise InvalidInput("Invalid flow: `serialized_flow` must be a JSON object.")
    name = document.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidInput("Invalid flow: `name` is required.")
    return Flow(
        name=name,
        core_version=_core_version(document.get("__version__"), core_version_cutoff),
        parameters=_parameters(document.get("parameters")),
        run_config=_object(document, "run_config"),
        environment=_object(document, "environment"),
        storage=_object(document, "storage"),
        schedule=_schedule(_object(document, "schedule")),
        tasks=parse_tasks(document.get("tasks", [])),
        edges=parse_edges(document.get("edges", [])),
        document=document,
    )


def parse_tasks(entries: object) -> list[Task]:
    """Read a list of serialized tasks.

    Raises:
        InvalidInput: it is not a list of objects, or a field cannot be used; the message names it.
    """
    if not isinstance(entries, list):
        raise InvalidInput("Invalid tasks: a list is required.")
    return [_task(entry, index) for index, entry in enumerate(entries)]


def parse_edges(entries: object) -> list[Edge]:
    """Read a list of serialized edges.

    Raises:
        InvalidInput: it is not a list of objects, or a field cannot be used; the message names it.
    """
    if not isinstance(entries, list):
        raise InvalidInput("Invalid edges: a list is required.")
    return [_edge(entry, index) for index, entry in enumerate(entries)]


def missing_parameters(
    *, parameters: object, schedule: Mapping[str, Any] | None, group_defaults: Mapping[str, Any]
) -> list[str]:
    """Return the required parameters of a flow that its own schedule would leave without a value.

    Args:
        parameters: the column of the flow: a list of objects (an object in rows that no client wrote).
        schedule: the flow's own schedule; a flow group's is not checked (actions.md §2.4).
        group_defaults: default parameters of the flow group.
    """
    if not isinstance(parameters, list) or schedule is None:
        return []
    required = [
        entry["name"] for entry in parameters if entry.get("required") and entry.get("name") not in group_defaults
    ]
    clocks = schedule.get("clocks") or []
    return [name for name in required if not all(name in (clock.get("parameter_defaults") or {}) for clock in clocks)]


def _core_version(version: object, cutoff: str) -> str | None:
    if version is None:
        return None
    if not isinstance(version, str):
        raise InvalidInput("Invalid flow: `__version__` must be a string.")
    try:
        too_old = Version(version) < Version(cutoff)
    except InvalidVersion as error:
        raise InvalidInput(f"Invalid flow: `__version__` {version[:50]!r} is not a version.") from error
    if too_old:
        raise InvalidInput(
            f"Prefect backends require new flows to be run with Prefect {cutoff}+,"
            f" but this flow was built with Prefect {version}."
        )
    return version


def _parameters(entries: object) -> list[dict[str, Any]]:
    if entries is None:
        return []
    if not isinstance(entries, list):
        raise InvalidInput("Invalid flow: `parameters` must be a list.")
    parameters = []
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("slug"), str):
            raise InvalidInput(f"Invalid flow: `parameters[{index}]` must be an object with a `slug`.")
        required = entry.get("required", False)
        if not isinstance(required, bool):
            raise InvalidInput(f"Invalid flow: `parameters[{index}].required` must be a boolean.")
        parameters.append({"name": entry["slug"], "required": False, "default": None, **entry})
    return parameters


def _schedule(schedule: dict[str, Any] | None) -> dict[str, Any] | None:
    if schedule is None:
        return None
    clocks = schedule.get("clocks")
    if not isinstance(clocks, list):
        raise InvalidInput("Invalid flow: `schedule.clocks` must be a list.")
    for index, clock in enumerate(clocks):
        if not isinstance(clock, dict):
            raise InvalidInput(f"Invalid flow: `schedule.clocks[{index}]` must be an object.")
        if not isinstance(clock.get("parameter_defaults"), dict | None):
            raise InvalidInput(f"Invalid flow: `schedule.clocks[{index}].parameter_defaults` must be an object.")
    return schedule


def _task(entry: object, index: int) -> Task:
    where = f"tasks[{index}]"
    if not isinstance(entry, dict):
        raise InvalidInput(f"Invalid tasks: `{where}` must be an object.")
    slug = entry.get("slug")
    if not isinstance(slug, str) or not slug:
        raise InvalidInput(f"Invalid tasks: `{where}.slug` is required.")
    return Task(
        id=_task_id(entry.get("id"), where),
        slug=slug,
        name=_text(entry, "name", where),
        type=_text(entry, "type", where),
        max_retries=_max_retries(entry.get("max_retries", 0), where),
        retry_delay=_retry_delay(entry.get("retry_delay"), where),
        tags=_tags(entry.get("tags"), where),
        trigger=_trigger(entry.get("trigger"), where),
        auto_generated=_flag(entry, "auto_generated", where),
        cache_key=_text(entry, "cache_key", where),
        entry=entry,
    )


def _task_id(value: object, where: str) -> UUID | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            return UUID(value)
        except ValueError:
            pass
    raise _invalid(f"{where}.id", "a UUID")


def _max_retries(value: object, where: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= INT4_MAX:
        return value
    raise _invalid(f"{where}.max_retries", "a whole number")


def _retry_delay(value: object, where: str) -> timedelta | None:
    if value is None:
        return None
    delay = parse_duration(value)
    if delay is None:
        raise _invalid(f"{where}.retry_delay", "a number of seconds or a duration")
    return delay


def _tags(value: object, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _invalid(f"{where}.tags", "a list")
    return value


def _trigger(value: object, where: str) -> str | None:
    if value is None:
        return None
    name = value.get("fn") if isinstance(value, dict) else value
    if isinstance(name, str):
        return name
    raise _invalid(f"{where}.trigger", 'a string or {"fn": name}')


def _edge(entry: object, index: int) -> Edge:
    where = f"edges[{index}]"
    if not isinstance(entry, dict):
        raise InvalidInput(f"Invalid edges: `{where}` must be an object.")
    return Edge(
        upstream=_slug(entry.get("upstream_task"), f"{where}.upstream_task"),
        downstream=_slug(entry.get("downstream_task"), f"{where}.downstream_task"),
        key=_text(entry, "key", where),
        mapped=_flag(entry, "mapped", where),
    )


def _slug(value: object, where: str) -> str:
    slug = value.get("slug") if isinstance(value, dict) else value
    if not isinstance(slug, str) or not slug:
        raise _invalid(where, 'a slug or {"slug": slug}')
    return slug


def _object(document: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    value = document.get(key)
    if value is not None and not isinstance(value, dict):
        raise InvalidInput(f"Invalid flow: `{key}` must be an object.")
    return value


def _text(entry: Mapping[str, Any], key: str, where: str) -> str | None:
    value = entry.get(key)
    if not isinstance(value, str | None):
        raise _invalid(f"{where}.{key}", "a string")
    return value


def _flag(entry: Mapping[str, Any], key: str, where: str) -> bool:
    value = entry.get(key)
    if not isinstance(value, bool | None):
        raise _invalid(f"{where}.{key}", "a boolean")
    return bool(value)


def _invalid(where: str, expected: str) -> InvalidInput:
    return InvalidInput(f"Invalid flow: `{where}` must be {expected}.")
