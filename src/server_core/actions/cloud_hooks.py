"""Verbs on cloud hooks, and the bell that is rung when events were queued for them. Called by services/graphql and by
the actions that write flow-run states (actions.md §7.1-7.4).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from coolname import generate_slug

from server_core.actions.changes import FlowRunStateChange
from server_core.actions.context import ActionContext
from server_core.actions.hook_attempts import describe
from server_core.db.session import ReadSession
from server_core.errors import InvalidInput, NotFound, ServerError
from server_core.rules import cloud_hooks as rules
from server_core.rules import hook_events
from server_core.rules.arguments import require
from server_core.rules.hook_attempts import REFUSED_FROM
from server_core.states import make_state
from server_core.store import cloud_hooks as store

logger = logging.getLogger(__name__)

TEST_MESSAGE = "Test of a cloud hook"
TEST_STATES = frozenset({"SCHEDULED", "SUBMITTED", "RUNNING", "SUCCESS", "FAILED"})


@dataclass(frozen=True, kw_only=True, slots=True)
class HookTest:
    """How the test of a hook went; `error` says why it failed."""

    success: bool
    error: str | None = None


async def create_cloud_hook(
    context: ActionContext,
    *,
    tenant_id: UUID,
    type: str,
    states: Sequence[str],
    config: Mapping[str, Any] | None = None,
    name: str | None = None,
    version_group_id: str | None = None,
) -> UUID:
    """Add an active hook and return its id (§7.1).

    Args:
        type: WEBHOOK, SLACK_WEBHOOK, TWILIO, PAGERDUTY or PREFECT_MESSAGE.
        states: names of state classes, any case.
        config: what the type needs; see rules.cloud_hooks.check_config.
        version_group_id: only flows of this version group; None: every flow of the tenant.

    Raises:
        InvalidInput: the states or the config cannot be used, or hooks must not reach the URL.
        ForeignKeyViolation: there is no such tenant.
    """
    require(tenant_id=tenant_id)
    checked_states = rules.check_states(states)
    checked_config = rules.check_config(type, config)
    if context.hook_delivery is not None and "url" in rules.CONFIG_KEYS.get(type, ()):
        await context.hook_delivery.client.check(checked_config["url"])
    async with context.database.autocommit(repeatable=False) as session:
        return await store.insert_cloud_hook(
            session,
            tenant_id=tenant_id,
            type=type,
            states=checked_states,
            config=checked_config,
            name=name,
            version_group_id=version_group_id,
        )


async def delete_cloud_hook(context: ActionContext, *, cloud_hook_id: UUID) -> bool:
    """Delete a hook; say whether it existed."""
    require(cloud_hook_id=cloud_hook_id)
    async with context.database.autocommit() as session:
        return await store.delete_cloud_hook(session, cloud_hook_id=cloud_hook_id)


async def set_cloud_hook_active(context: ActionContext, *, cloud_hook_id: UUID) -> bool:
    """Switch a hook on; say whether it exists."""
    require(cloud_hook_id=cloud_hook_id)
    async with context.database.autocommit() as session:
        return await store.set_active(session, cloud_hook_id=cloud_hook_id, active=True)


async def set_cloud_hook_inactive(context: ActionContext, *, cloud_hook_id: UUID) -> bool:
    """Switch a hook off; say whether it exists."""
    require(cloud_hook_id=cloud_hook_id)
    async with context.database.autocommit() as session:
        return await store.set_active(session, cloud_hook_id=cloud_hook_id, active=False)


def notify(context: ActionContext, changes: Sequence[FlowRunStateChange]) -> None:
    """Have what these state changes queued delivered soon, in the background; call after the commit that made them.

    Never raises and never waits. Without it (no hook delivery in the context, a process that dies here) another worker
    finds them a little later.
    """
    if context.hook_delivery is not None and any(change.hooks_queued for change in changes):
        context.hook_delivery.wake()


async def test_cloud_hook(
    context: ActionContext,
    *,
    cloud_hook_id: UUID,
    flow_run_id: UUID | None = None,  # noqa: PT028 - a verb, not a pytest test
    state_type: str = "SUCCESS",  # noqa: PT028
) -> HookTest:
    """Send a hook's receiver a test notification and wait for it (§7.4). Changes no run.

    Whether the hook is active, its states and its version group do not matter.

    Args:
        flow_run_id: a run to tell of; None: one that is made up.
        state_type: SCHEDULED, SUBMITTED, RUNNING, SUCCESS or FAILED.

    Returns:
        Failures of any kind (unknown hook, unknown run, receiver not reached) with their reason; none is raised.
    """
    try:
        if context.hook_delivery is None:
            raise InvalidInput("Cloud hooks are switched off in this process.")
        if state_type not in TEST_STATES:
            raise InvalidInput(f"A cloud hook can be tested with one of: {', '.join(sorted(TEST_STATES))}")
        async with context.database.read() as session:
            hook = await _load_hook(session, cloud_hook_id)
            event = (
                _made_up_event(context, hook, state_type)
                if flow_run_id is None
                else await _real_event(session, context, flow_run_id, state_type)
            )
        statuses = await context.hook_delivery.sender.deliver(hook, event)
    except Exception as error:
        if not isinstance(error, ServerError):
            logger.warning("cloud hook %s: test failed: %s", cloud_hook_id, describe(error))
        return HookTest(success=False, error=describe(error))
    refused = [status for status in statuses if status >= REFUSED_FROM]
    if refused:
        return HookTest(success=False, error=f"The receiver answered with status {refused[0]}.")
    return HookTest(success=True)


async def _load_hook(session: ReadSession, cloud_hook_id: UUID) -> rules.CloudHook:
    row = await store.find_cloud_hook(session, cloud_hook_id=cloud_hook_id)
    if row is None:
        raise NotFound(f"Cloud hook {cloud_hook_id} not found.")
    return rules.CloudHook(**{**row, "states": row["states"] or ()})


def _made_up_event(context: ActionContext, hook: rules.CloudHook, state_type: str) -> hook_events.Event:
    subject = rules.Subject(
        flow_run_id=uuid4(),
        flow_run_name=generate_slug(2),
        flow_id=uuid4(),
        flow_name="test",
        flow_group_id=uuid4(),
        version_group_id=str(uuid4()),
        tenant_id=hook.tenant_id,
        tenant_slug="test-slug",
    )
    return _event(context, subject, state_type, version=1, run_version=0, run_state=None, is_test_event=True)


async def _real_event(
    session: ReadSession, context: ActionContext, flow_run_id: UUID, state_type: str
) -> hook_events.Event:
    """Tell of a run as if it had just entered the state; legacy shows the run itself after that change (§7.4)."""
    rows = await store.find_subjects(session, flow_run_ids=[flow_run_id])
    version = await store.find_version(session, flow_run_id=flow_run_id)
    if not rows or version is None:
        raise NotFound(f"Flow run {flow_run_id} not found.")
    return _event(
        context,
        rules.Subject(**rows[0]),
        state_type,
        version=version + 1,
        run_version=version + 1,
        run_state=state_type.capitalize(),
    )


def _event(
    context: ActionContext,
    subject: rules.Subject,
    state_type: str,
    *,
    version: int,
    run_version: int,
    run_state: str | None,
    is_test_event: bool = False,
) -> hook_events.Event:
    now = context.clock()
    state = make_state(state_type.capitalize(), now=now, message=TEST_MESSAGE)
    return hook_events.Event(
        id=uuid4(),
        timestamp=now,
        subject=subject,
        run_version=run_version,
        run_state=run_state,
        state=hook_events.NewState(
            id=uuid4(),
            version=version,
            state=state.name,
            timestamp=now,
            message=state.message,
            start_time=state.start_time,
            serialized_state=state.document,
        ),
        is_test_event=is_test_event,
    )
