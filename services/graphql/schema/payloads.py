"""Payloads that several nouns share: `success_payload` and the id payloads (actions.md §1). Used by schema/<noun>."""

from uuid import UUID

import strawberry


@strawberry.type(name="success_payload")
class SuccessPayload:
    """Whether a row matched; `error` is only filled by test_cloud_hook (actions.md §0.3)."""

    success: bool | None
    error: str | None = None


@strawberry.type(name="tenant_id_payload")
class TenantIdPayload:
    """The id of a tenant."""

    id: UUID | None


@strawberry.type(name="project_id_payload")
class ProjectIdPayload:
    """The id of a project."""

    id: UUID | None


@strawberry.type(name="flow_id_payload")
class FlowIdPayload:
    """The id of a flow."""

    id: UUID | None


@strawberry.type(name="flow_run_id_payload")
class FlowRunIdPayload:
    """The id of a flow run."""

    id: UUID | None


@strawberry.type(name="task_run_id_payload")
class TaskRunIdPayload:
    """The id of a task run."""

    id: UUID | None


@strawberry.type(name="agent_id_payload")
class AgentIdPayload:
    """The id of an agent."""

    id: UUID | None


@strawberry.type(name="agent_config_id_payload")
class AgentConfigIdPayload:
    """The id of an agent config."""

    id: UUID | None


@strawberry.type(name="task_run_artifact_id_payload")
class TaskRunArtifactIdPayload:
    """The id of an artifact."""

    id: UUID | None


@strawberry.type(name="cloud_hook_id_payload")
class CloudHookIdPayload:
    """The id of a cloud hook."""

    id: UUID | None
