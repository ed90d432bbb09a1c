"""Ids that are null or empty, which only a Python caller can send: an error that names the argument (actions.md §0.4).

Verbs on tenants, projects, flows and flow groups have the same test beside their others.
"""

from collections.abc import Coroutine
from typing import Any
from uuid import uuid4

import pytest

from server_core.actions import agents, artifacts, cloud_hooks, messages, queue, runs, states
from server_core.actions.context import ActionContext
from server_core.errors import InvalidInput, ServerError


def calls(context: ActionContext, missing: Any) -> list[tuple[str, Coroutine[Any, Any, object]]]:
    flow_run, task_run, some = {"flow_run_id": missing}, {"task_run_id": missing}, uuid4()
    return [
        ("flow_run_id", runs.set_flow_run_name(context, **flow_run, name="x")),
        ("flow_run_id", runs.set_flow_run_labels(context, **flow_run, labels=[])),
        ("flow_run_id", runs.update_flow_run_heartbeat(context, **flow_run)),
        ("flow_run_id", runs.delete_flow_run(context, **flow_run)),
        ("flow_run_id", runs.get_or_create_task_run(context, **flow_run, task_id=some)),
        ("task_id", runs.get_or_create_task_run_info(context, flow_run_id=some, task_id=missing)),
        ("task_run_id", runs.set_task_run_name(context, **task_run, name="x")),
        ("task_run_id", runs.update_task_run_heartbeat(context, **task_run)),
        ("task_run_id", runs.get_task_run_info(context, **task_run)),
        ("task_run_id", runs.mapped_children(context, task_run_ids=list(task_run.values()))),
        ("tenant_id", queue.get_runs_in_queue(context, tenant_id=missing)),
        ("agent_id", agents.delete_agent(context, agent_id=missing)),
        ("tenant_id", agents.create_agent_config(context, tenant_id=missing)),
        ("agent_config_id", agents.update_agent_config(context, agent_config_id=missing, name="x")),
        ("agent_config_id", agents.delete_agent_config(context, agent_config_id=missing)),
        ("task_run_id", artifacts.create_task_run_artifact(context, **task_run, kind="link", data={})),
        ("artifact_id", artifacts.update_task_run_artifact(context, task_run_artifact_id=missing, data={})),
        ("artifact_id", artifacts.delete_task_run_artifact(context, task_run_artifact_id=missing)),
        ("message_id", messages.mark_message_as_read(context, message_id=missing)),
        ("message_id", messages.mark_message_as_unread(context, message_id=missing)),
        ("message_id", messages.delete_message(context, message_id=missing)),
        ("tenant_id", cloud_hooks.create_cloud_hook(context, tenant_id=missing, type="WEBHOOK", states=["Failed"])),
        ("cloud_hook_id", cloud_hooks.delete_cloud_hook(context, cloud_hook_id=missing)),
        ("cloud_hook_id", cloud_hooks.set_cloud_hook_active(context, cloud_hook_id=missing)),
        ("cloud_hook_id", cloud_hooks.set_cloud_hook_inactive(context, cloud_hook_id=missing)),
    ]


@pytest.mark.parametrize("missing", [None, ""])
async def test_ids_are_required(context: ActionContext, missing: Any) -> None:
    for name, call in calls(context, missing):
        with pytest.raises(InvalidInput, match=f"{name}: a value is required"):
            await call


async def test_states_of_no_run_are_refused(context: ActionContext) -> None:
    """§3.4, §3.5, §3.6: here no run of that id exists either."""
    missing: Any = None
    for call in (
        states.set_flow_run_states(context, states=[states.FlowRunStateInput(flow_run_id=missing, state={})]),
        states.set_task_run_states(context, states=[states.TaskRunStateInput(task_run_id=missing, state={})]),
        states.cancel_flow_run(context, flow_run_id=missing),
    ):
        with pytest.raises(ServerError):
            await call
