"""Delivers what cloud hooks are to be told, from the outbox to the receivers. One per process that writes states.

A state's events are queued by the statement that writes it (store/hook_outbox), so they are there if and only if the
state is. This worker claims due ones for a time (a lease), sends them, and notes what became of them. One that was
claimed by a process which died is due again when the lease ends: every event is sent at least once, and twice only if
somebody died, or stayed away for longer than the lease, between the receiver's answer and the note of it.

A receiver that is slow or dead delays nobody else (actions.md §7.2): each hook has a few slots, hooks with few requests
under way come first, and one that does not answer is left alone for a while and then gets one slot among half of all.
"""

import asyncio
import json
import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import httpx

from server_core.actions.hook_http import HookClient
from server_core.clock import Clock, utc_now
from server_core.config import HookSettings
from server_core.db.session import Database, Row
from server_core.errors import ServerError, Unavailable
from server_core.rules import cloud_hooks as rules
from server_core.rules import hook_attempts, hook_events
from server_core.storable import storable_text
from server_core.store import hook_outbox as store
from server_core.store import messages

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)
"""Longer than any one request may take; a delivery of several renews it."""

NOTE_SECONDS = 2.5
LONGEST_REST = timedelta(seconds=30)
FORGOTTEN_AFTER = timedelta(hours=1)
REMOVE_AT_ONCE = 500
REMOVE_EVERY = timedelta(seconds=60)
FINISH_AT_ONCE = 200
_NOT_WORTH_REPEATING = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """A delivery that is ours until its lease ends; `attempts` counts this one."""

    id: UUID
    attempts: int
    created: datetime
    answers: dict[str, int]
    hook: rules.CloudHook
    event: hook_events.Event


@dataclass(frozen=True, kw_only=True, slots=True)
class Silence:
    """How often in a row a hook's receiver did not answer, and until when it is left alone."""

    times: int
    until: datetime


class HookDelivery:
    """Delivers to the receivers of cloud hooks.

    Args:
        database: where outbox, hooks and messages are.
        api_url: base of the links in notifications.
        settings: limits and pauses.
        client: sends the requests; closed by stop.
        clock: the time.
        chance: returns a random number from 0 to 1.
        grace_seconds: how long stop waits for what is under way.
    """

    def __init__(
        self,
        database: Database,
        *,
        api_url: str,
        settings: HookSettings | None = None,
        client: HookClient | None = None,
        clock: Clock = utc_now,
        chance: Callable[[], float] = random.random,
        grace_seconds: float = 2.5,
    ) -> None:
        self._database = database
        self._api_url = api_url
        self._settings = settings or HookSettings()
        self.client = client or HookClient(forbid_private=self._settings.forbid_private_targets)
        self._clock = clock
        self._chance = chance
        self._grace_seconds = grace_seconds
        self._loop: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._stopped = False
        self._sending: dict[asyncio.Task[None], Claimed] = {}
        self._outcomes: list[store.Outcome] = []
        self._silent: dict[UUID, Silence] = {}
        self._remove_after: datetime | None = None

    def start(self) -> None:
        """Deliver in the background until stop."""
        self._loop = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        """Look for due deliveries now; call after a commit that queued some. Never raises and never waits."""
        self._woken.set()

    async def drain(self) -> None:
        """Deliver until nothing is due; for use without start.

        Raises:
            Unavailable: the database cannot be reached.
        """
        while await self._pass() or self._sending:
            if self._sending:
                await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)

    async def stop(self) -> None:
        """Give what is under way a moment to finish, and the rest back: the next worker sends that at once."""
        self._stopped = True
        self.wake()
        try:
            async with asyncio.timeout(self._grace_seconds):
                if self._loop is not None:
                    await self._loop
                while self._sending:
                    await asyncio.wait(self._sending)
        except TimeoutError:
            pass
        left = {claimed.id: claimed.attempts for claimed in self._sending.values()}
        for task in (unfinished := list(self._sending)):
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        try:
            async with asyncio.timeout(NOTE_SECONDS):
                await self._finish()
                if left:
                    async with self._database.autocommit() as session:
                        await store.give_back(session, claimed=left, now=self._clock())
        except (ServerError, TimeoutError) as error:
            logger.warning("cloud hooks: what was under way is sent again after the lease: %s", error)
        await self.client.close()

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
        return [(await self.client.post(request)).status for request in requests]

    async def _run(self) -> None:
        while not self._stopped:
            self._woken.clear()
            try:
                await self._pass()
                await self._remove_old()
            except Unavailable as error:
                logger.warning("cloud hooks: waiting for the database: %s", error)
            except Exception:
                logger.exception("cloud hooks: a look for due deliveries failed")
            try:
                async with asyncio.timeout(self._settings.poll_interval_seconds):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def _pass(self) -> int:
        """Note outcomes, claim what there are slots for, begin to send it; return how many were claimed."""
        await self._finish()
        now = self._clock()
        under_way = Counter(claimed.hook.id for claimed in self._sending.values())
        free = self._settings.max_concurrent - len(self._sending)
        rows = await self._claim(
            now, under_way, among=list(self._silent), excluded=True, free=free, per_hook=self._per_hook
        )
        self._silent = {key: silence for key, silence in self._silent.items() if now - silence.until < FORGOTTEN_AFTER}
        rested = [hook_id for hook_id, silence in self._silent.items() if silence.until <= now]
        if rested:
            trying = sum(count for hook_id, count in under_way.items() if hook_id in self._silent)
            free = min(free - len(rows), self._settings.max_concurrent // 2 - trying)
            rows += await self._claim(now, under_way, among=rested, excluded=False, free=free, per_hook=1)
        for row in rows:
            self._begin(row)
        return len(rows)

    @property
    def _per_hook(self) -> int:
        return self._settings.max_concurrent_per_hook

    async def _claim(
        self, now: datetime, under_way: Counter[UUID], *, among: list[UUID], excluded: bool, free: int, per_hook: int
    ) -> list[Row]:
        if free <= 0:
            return []
        async with self._database.autocommit() as session:
            return await store.claim(
                session,
                now=now,
                lease_end=now + LEASE,
                sending=under_way,
                among=among,
                excluded=excluded,
                per_hook=per_hook,
                limit=free,
            )

    def _begin(self, row: Row) -> None:
        try:
            claimed = _read(row)
        except Exception as error:
            self._outcomes.append(
                store.Outcome(id=row["id"], attempts=row["attempts"], status=store.FAILED, error=describe(error))
            )
            self.wake()
            return
        task = asyncio.get_running_loop().create_task(self._send(claimed))
        self._sending[task] = claimed
        task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        del self._sending[task]
        self.wake()

    async def _send(self, claimed: Claimed) -> None:
        """Make one attempt; a failure is nobody else's (§7.2) and is logged without the receiver's secrets."""
        hook = claimed.hook
        if not hook.active:
            self._note(claimed, store.FAILED, error="The hook was switched off.")
        elif hook.type == rules.PREFECT_MESSAGE:
            content = json.dumps(hook_events.message_content(claimed.event))
            self._note(claimed, store.DELIVERED, message=content)
        else:
            try:
                await self._send_requests(claimed)
            except (TimeoutError, httpx.TransportError, OSError) as error:
                if isinstance(error, _NOT_WORTH_REPEATING):
                    self._note(claimed, store.FAILED, error=describe(error))
                else:
                    self._no_answer(claimed, error)
            except Exception as error:
                self._note(claimed, store.FAILED, error=describe(error))

    async def _send_requests(self, claimed: Claimed) -> None:
        """Send the requests that have no final answer yet, and note the outcome."""
        requests = hook_events.deliveries(claimed.hook, claimed.event, api_url=self._api_url)
        trouble, retry_after = None, 0.0
        for number, request in enumerate(requests):
            if str(number) in claimed.answers:
                continue
            answer = await self.client.post(request)
            self._silent.pop(claimed.hook.id, None)
            if hook_attempts.may_pass(answer.status):
                trouble = f"The receiver answered with status {answer.status}."
                retry_after = max(retry_after, answer.retry_after)
            else:
                claimed.answers[str(number)] = answer.status
            if number + 1 < len(requests) and not await self._keep(claimed):
                return
        refused = hook_attempts.refusals(claimed.answers)
        if trouble:
            self._try_again(claimed, trouble, least=retry_after)
        elif refused:
            self._note(claimed, store.FAILED, error=refused)
        else:
            self._note(claimed, store.DELIVERED)

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

    def _no_answer(self, claimed: Claimed, error: Exception) -> None:
        before = self._silent.get(claimed.hook.id)
        times = before.times + 1 if before else 1
        rest = min(timedelta(seconds=2 ** min(times - 1, 10)), LONGEST_REST)
        self._silent[claimed.hook.id] = Silence(times=times, until=self._clock() + rest)
        self._try_again(claimed, describe(error))

    def _try_again(self, claimed: Claimed, error: str, *, least: float = 0.0) -> None:
        now = self._clock()
        due = hook_attempts.next_attempt(
            attempts=claimed.attempts,
            created=claimed.created,
            now=now,
            settings=self._settings,
            chance=self._chance(),
        )
        if due is None:
            self._note(claimed, store.FAILED, error=error)
            return
        wished = now + timedelta(seconds=min(least, self._settings.retry_max_seconds))
        self._note(claimed, store.WAITING, next_attempt=max(due, wished), error=error)

    def _note(
        self,
        claimed: Claimed,
        status: str,
        *,
        next_attempt: datetime | None = None,
        error: str | None = None,
        message: str | None = None,
    ) -> None:
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
        self._outcomes.append(
            store.Outcome(
                id=claimed.id,
                attempts=claimed.attempts,
                status=status,
                next_attempt=next_attempt,
                answers=json.dumps(claimed.answers),
                error=error and storable_text(error),
                message=message,
            )
        )

    async def _finish(self) -> None:
        """Note outcomes in the database; those that cannot be noted now are kept."""
        while self._outcomes:
            batch = self._outcomes[:FINISH_AT_ONCE]
            try:
                await self._note_outcomes(batch)
            except Unavailable:
                raise
            except ServerError:
                for outcome in batch:
                    try:
                        await self._note_outcomes([outcome])
                    except Unavailable:
                        raise
                    except ServerError as error:
                        logger.warning("cloud hooks: the outcome of %s cannot be noted: %s", outcome.id, error)
            del self._outcomes[: len(batch)]

    async def _note_outcomes(self, outcomes: list[store.Outcome]) -> None:
        async with self._database.autocommit() as session:
            await store.finish(session, outcomes=outcomes, now=self._clock())

    async def _remove_old(self) -> None:
        """Remove old records, a batch at a time, now and then."""
        now = self._clock()
        if self._remove_after is not None and now < self._remove_after:
            return
        before = now - timedelta(seconds=self._settings.retention_seconds)
        async with self._database.autocommit() as session:
            removed = await store.remove_finished(session, before=before, limit=REMOVE_AT_ONCE)
        if removed == REMOVE_AT_ONCE:
            self.wake()
        else:
            self._remove_after = now + REMOVE_EVERY


def read_hook(row: Row) -> rules.CloudHook:
    """Return a stored hook as a value."""
    return rules.CloudHook(**{**row, "states": row["states"] or ()})


def _read(row: Row) -> Claimed:
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
