"""A claimed delivery → its requests, sent once, and what became of it. Called by actions/hook_delivery.

What follows from an answer is decided by rules/hook_attempts; the test of a hook (§7.4) is sent here too, without the
outbox.
"""

import json
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import httpx

from server_core.actions.hook_http import HookClient
from server_core.clock import Clock, utc_now
from server_core.config import HookSettings
from server_core.db.session import Database, Row
from server_core.errors import ServerError
from server_core.rules import cloud_hooks as rules
from server_core.rules import hook_attempts, hook_events
from server_core.storable import storable_text
from server_core.store import hook_outbox as store
from server_core.store import messages
from server_core.store.hook_outbox import Outcome

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)
"""Longer than any one request may take; a delivery of several renews it."""

_NOT_WORTH_REPEATING = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """A delivery that is ours until its lease ends.

    Attributes:
        id: of its row.
        attempts: how many were begun, with this one.
        created: when the event happened.
        answers: HTTP status by number of the request, of those that need not be sent again.
        hook: whom to tell.
        event: what happened.
    """

    id: UUID
    attempts: int
    created: datetime
    answers: dict[str, int]
    hook: rules.CloudHook
    event: hook_events.Event


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """How an attempt went.

    Attributes:
        outcome: what became of the delivery; None: it is somebody else's by now.
        answered: the receiver answered at least once.
        silent: it was asked and did not answer.
    """

    outcome: Outcome | None
    answered: bool = False
    silent: bool = False


class HookSender:
    """Tells the receivers of cloud hooks.

    Args:
        database: where outbox and messages are.
        api_url: base of the links in notifications.
        settings: limits and pauses.
        client: sends the requests.
        clock: the time.
        chance: returns a random number from 0 to 1.
    """

    def __init__(
        self,
        database: Database,
        *,
        api_url: str,
        settings: HookSettings,
        client: HookClient,
        clock: Clock = utc_now,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._api_url = api_url
        self._settings = settings
        self._client = client
        self._clock = clock
        self._chance = chance

    async def deliver(self, hook: rules.CloudHook, event: hook_events.Event) -> list[int]:
        """Tell one hook's receiver of one event, now and once, without the outbox; return the statuses of its answers.

        Raises:
            TimeoutError: the receiver took too long.
            httpx.HTTPError, httpx.InvalidURL: it cannot be reached.
            ServerError: hooks must not reach it, or a message could not be stored.
        """
        if hook.type == rules.PREFECT_MESSAGE:
            async with self._database.autocommit() as session:
                await messages.insert_message(
                    session,
                    tenant_id=hook.tenant_id,
                    type="CLOUD_HOOK",
                    content=hook_events.message_content(event),
                )
        requests = hook_events.deliveries(hook, event, api_url=self._api_url)
        return [(await self._client.post(request)).status for request in requests]

    async def attempt(self, claimed: Claimed) -> Attempt:
        """Make one attempt; a failure is nobody else's (§7.2) and is logged without the receiver's secrets."""
        hook = claimed.hook
        if not hook.active:
            return Attempt(outcome=_outcome(claimed, store.FAILED, error="The hook was switched off."))
        if hook.type == rules.PREFECT_MESSAGE:
            content = json.dumps(hook_events.message_content(claimed.event))
            return Attempt(outcome=_outcome(claimed, store.DELIVERED, message=content))
        try:
            return await self._send_requests(claimed)
        except (TimeoutError, httpx.TransportError, OSError) as error:
            if isinstance(error, _NOT_WORTH_REPEATING):
                return Attempt(outcome=_outcome(claimed, store.FAILED, error=describe(error)))
            return Attempt(outcome=self._try_again(claimed, describe(error)), silent=True)
        except Exception as error:
            return Attempt(outcome=_outcome(claimed, store.FAILED, error=describe(error)))

    async def _send_requests(self, claimed: Claimed) -> Attempt:
        """Send the requests that have no final answer yet."""
        requests = hook_events.deliveries(claimed.hook, claimed.event, api_url=self._api_url)
        trouble, retry_after = None, 0.0
        for number, request in enumerate(requests):
            if str(number) in claimed.answers:
                continue
            answer = await self._client.post(request)
            if hook_attempts.may_pass(answer.status):
                trouble = f"The receiver answered with status {answer.status}."
                retry_after = max(retry_after, answer.retry_after)
            else:
                claimed.answers[str(number)] = answer.status
            if number + 1 < len(requests) and not await self._keep(claimed):
                return Attempt(outcome=None, answered=True)
        refused = hook_attempts.refusals(claimed.answers)
        if trouble:
            outcome = self._try_again(claimed, trouble, least=retry_after)
        elif refused:
            outcome = _outcome(claimed, store.FAILED, error=refused)
        else:
            outcome = _outcome(claimed, store.DELIVERED)
        return Attempt(outcome=outcome, answered=True)

    async def _keep(self, claimed: Claimed) -> bool:
        """Keep the answers so far, so that no number is texted twice; say whether to go on."""
        try:
            async with self._database.autocommit() as session:
                return await store.note_progress(
                    session,
                    delivery_id=claimed.id,
                    attempts=claimed.attempts,
                    answers=claimed.answers,
                    lease_end=self._clock() + LEASE,
                )
        except ServerError as error:
            logger.warning("cloud hooks: answers are kept at the end only: %s", error)
            return True

    def _try_again(self, claimed: Claimed, error: str, *, least: float = 0.0) -> Outcome:
        now = self._clock()
        due = hook_attempts.next_attempt(
            attempts=claimed.attempts,
            created=claimed.created,
            now=now,
            settings=self._settings,
            chance=self._chance(),
        )
        if due is None:
            return _outcome(claimed, store.FAILED, error=error)
        wished = now + timedelta(seconds=min(least, self._settings.retry_max_seconds))
        return _outcome(claimed, store.WAITING, next_attempt=max(due, wished), error=error)


def _outcome(
    claimed: Claimed,
    status: str,
    *,
    next_attempt: datetime | None = None,
    error: str | None = None,
    message: str | None = None,
) -> Outcome:
    """Return what became of a delivery; a failure is logged."""
    if error is not None:
        logger.warning(
            "cloud hook not delivered%s: %s",
            "" if next_attempt is None else f" by attempt {claimed.attempts}, tried again at {next_attempt}",
            error,
            extra={
                "cloud_hook_id": str(claimed.hook.id),
                "cloud_hook_type": claimed.hook.type,
                "flow_run_id": str(claimed.event.subject.flow_run_id),
            },
        )
    return Outcome(
        id=claimed.id,
        attempts=claimed.attempts,
        status=status,
        next_attempt=next_attempt,
        answers=json.dumps(claimed.answers),
        error=error and storable_text(error),
        message=message,
    )


def read_claimed(row: Row) -> Claimed:
    """Return a row of store.hook_outbox.claim as a value; raises whatever, where hook or event cannot be read."""
    return Claimed(
        id=row["id"],
        attempts=row["attempts"],
        created=row["created"],
        answers=row["answers"],
        hook=rules.CloudHook(
            id=row["cloud_hook_id"],
            tenant_id=row["tenant_id"],
            type=row["type"],
            states=row["states"] or (),
            config=row["config"],
            active=row["active"],
            version_group_id=row["version_group_id"],
        ),
        event=hook_events.read_event(row["id"], row["created"], row["event"]),
    )


def describe(error: BaseException) -> str:
    """Say why a delivery failed, in words that may be shown to whoever owns the hook."""
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "The receiver did not answer in time."
    if isinstance(error, ServerError):
        return error.message
    if isinstance(error, httpx.HTTPError | httpx.InvalidURL):
        return str(error) or type(error).__name__
    return f"The hook cannot be delivered ({type(error).__name__})."
