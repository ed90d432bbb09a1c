"""What a new flow run is given: labels, run config, parameters and a name, from what its caller, flow group and flow
say (actions.md §2.6). Called by actions.runs, which the scheduler shares.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import coolname

from server_core.errors import InvalidInput


def resolve_labels(
    *,
    labels: Sequence[str] | None,
    run_config: object,
    group_labels: Sequence[str] | None,
    group_run_config: object,
    flow_run_config: object,
    flow_environment: object,
) -> list[str]:
    """Return the labels of a new run, sorted: those of the first source that is there at all (§2.6.3).

    Order: the caller's labels, the caller's run config, the group's labels, the group's run config, the flow's run
    config, the flow's environment. An empty list is an answer; a config without labels answers with none.

    Raises:
        InvalidInput: that source is not an object, or its labels are not a list of strings.
    """
    if labels is not None:
        return _sorted(labels)
    if run_config is not None:
        return _sorted(_object("run config", run_config).get("labels"))
    if group_labels is not None:
        return _sorted(group_labels)
    for name, config in (
        ("flow group's run config", group_run_config),
        ("flow's run config", flow_run_config),
        ("flow's environment", flow_environment),
    ):
        if config is not None:
            return _sorted(_object(name, config).get("labels"))
    return []


def resolve_run_config(
    *,
    run_config: object,
    group_run_config: object,
    flow_run_config: object,
) -> Mapping[str, Any] | None:
    """Return the run config of a new run: the first one that is there, whole (§2.6.4).

    Raises:
        InvalidInput: it is not an object; what a flow group is given is stored as it comes (§2.5).
    """
    for name, config in (
        ("run config", run_config),
        ("flow group's run config", group_run_config),
        ("flow's run config", flow_run_config),
    ):
        if config is not None:
            return _object(name, config)
    return None


def resolve_parameters(
    *,
    flow_parameters: object,
    group_defaults: object,
    given: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the parameters of a new run (§2.6.5): truthy defaults of the flow, then the group's, then the caller's.

    Args:
        flow_parameters: the flow's list of `{name, required, default, …}`; anything else counts as none.
        group_defaults: default parameters of the flow group.
        given: parameters of this run; names the flow does not know are kept.

    Raises:
        InvalidInput: a required parameter has no value, or the group's default parameters are not an object.
    """
    declared = [each for each in flow_parameters if isinstance(each, dict)] if isinstance(flow_parameters, list) else []
    parameters = {each["name"]: each["default"] for each in declared if "name" in each and each.get("default")}
    parameters |= _object("flow group's default parameters", group_defaults or {})
    parameters |= given or {}
    missing = sorted(
        str(each["name"])
        for each in declared
        if each.get("required") and "name" in each and each["name"] not in parameters
    )
    if missing:
        raise InvalidInput(f"Required parameters were not supplied: {', '.join(missing)}.")
    return parameters


def random_run_name() -> str:
    """Return two friendly words joined by a hyphen."""
    name: str = coolname.generate_slug(2)
    return name


def _object(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInput(f"The {name} must be a JSON object.")
    return value


def _sorted(labels: object) -> list[str]:
    if labels is None:
        return []
    if not isinstance(labels, (list, tuple)) or not all(isinstance(label, str) for label in labels):
        raise InvalidInput("Labels must be a list of strings.")
    return sorted(labels)
