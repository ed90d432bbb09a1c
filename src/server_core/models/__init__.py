"""The tables as SQLAlchemy knows them, for migrations and their check; runtime SQL is text (server_core.store)."""

from server_core.models.agents import agent, agent_config
from server_core.models.artifacts import task_run_artifact
from server_core.models.base import metadata
from server_core.models.cloud_hooks import cloud_hook, cloud_hook_delivery
from server_core.models.flow_groups import flow_group
from server_core.models.flow_plans import flow_plan
from server_core.models.flows import flow
from server_core.models.logs import log
from server_core.models.messages import message
from server_core.models.presence import service_presence
from server_core.models.projects import project
from server_core.models.removals import pending_removal
from server_core.models.runs import flow_run, task_run
from server_core.models.states import flow_run_state, task_run_state
from server_core.models.tasks import edge, task
from server_core.models.tenants import tenant
from server_core.models.traversal import traversal

__all__ = [
    "agent",
    "agent_config",
    "cloud_hook",
    "cloud_hook_delivery",
    "edge",
    "flow",
    "flow_group",
    "flow_plan",
    "flow_run",
    "flow_run_state",
    "log",
    "message",
    "metadata",
    "pending_removal",
    "project",
    "service_presence",
    "task",
    "task_run",
    "task_run_artifact",
    "task_run_state",
    "tenant",
    "traversal",
]
