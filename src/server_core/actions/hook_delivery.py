"""Hands what cloud hooks are to be told from the outbox to those who send it. One per process that writes states.

A state's events are queued by the statement that writes it (store/hook_outbox), so they are there if and only if the
state is. This worker claims due ones for a time (a lease), has them sent (actions/hook_attempts), and notes what became
of them. One that was claimed by a process which died is due again when the lease ends: every event is sent at least
once, and twice only if somebody died, or stayed away for longer than the lease, between the receiver's answer and the
note of it.

A receiver that is slow or dead delays nobody else (actions.md §7.2): each hook has a few slots, hooks with few requests
under way come first, and one that does not answer is left alone for a while and then gets one slot among half of all.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from server_core.actions.hook_attempts import LEASE, Attempt, Claimed, HookSender, describe, read_claimed
from server_core.actions.hook_http import HookClient
from server_core.clock import Clock, utc_now
from server_core.config import HookSettings
from server_core.db.session import Database, Row
from server_core.errors import ServerError, Unavailable
from server_core.store import hook_outbox as store

logger = logging.getLogger(__name__)

NOTE_SECONDS = 2.5
LONGEST_REST = timedelta(seconds=30)
FORGOTTEN_AFTER = timedelta(hours=1)
REMOVE_AT_ONCE = 500
REMOVE_EVERY = timedelta(seconds=60)
FINISH_AT_ONCE = 200


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

    Attributes:
        client: the same.
        sender: sends what is claimed.
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
        self._settings = settings or HookSettings()
        self.client = client or HookClient(forbid_private=self._settings.forbid_private_targets)
        self.sender = HookSender(
            database, api_url=api_url, settings=self._settings, client=self.client, clock=clock, chance=chance
        )
        self._clock = clock
        self._grace_seconds = grace_seconds
        self._loop: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._stopped = False
        self._sending: dict[asyncio.Task[None], Claimed] = {}
        self._outcomes: list[store.Outcome] = []
        self._silent: dict[UUID, Silence] = {}
        self._remove_after: datetime | None = None

    @property
    def sending(self) -> int:
        """How many deliveries are under way."""
        return len(self._sending)

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
        while await self.look() or self._sending or self._outcomes:
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

    async def look(self) -> int:
        """Note outcomes, claim what there are slots for, begin to send it; return how many were claimed.

        Raises:
            Unavailable: the database cannot be reached; what was claimed before is sent.
        """
        await self._finish()
        now = self._clock()
        under_way = Counter(claimed.hook.id for claimed in self._sending.values())
        free = self._settings.max_concurrent - len(self._sending)
        per_hook = self._settings.max_concurrent_per_hook
        claimed = await self._claim(now, under_way, among=list(self._silent), excluded=True, free=free, slots=per_hook)
        self._silent = {key: silence for key, silence in self._silent.items() if now - silence.until < FORGOTTEN_AFTER}
        rested = [hook_id for hook_id, silence in self._silent.items() if silence.until <= now]
        if rested:
            trying = sum(count for hook_id, count in under_way.items() if hook_id in self._silent)
            free = min(free - claimed, self._settings.max_concurrent // 2 - trying)
            claimed += await self._claim(now, under_way, among=rested, excluded=False, free=free, slots=1)
        return claimed

    async def remove_old(self) -> None:
        """Remove old records, a batch at a time, now and then.

        Raises:
            Unavailable: the database cannot be reached.
        """
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

    async def _run(self) -> None:
        while not self._stopped:
            self._woken.clear()
            try:
                await self.look()
                await self.remove_old()
            except Unavailable as error:
                logger.warning("cloud hooks: waiting for the database: %s", error)
            except Exception:
                logger.exception("cloud hooks: a look for due deliveries failed")
            try:
                async with asyncio.timeout(self._settings.poll_interval_seconds):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def _claim(
        self, now: datetime, under_way: Counter[UUID], *, among: list[UUID], excluded: bool, free: int, slots: int
    ) -> int:
        """Claim up to `free` deliveries and begin to send them; return how many."""
        if free <= 0:
            return 0
        async with self._database.autocommit() as session:
            rows = await store.claim(
                session,
                now=now,
                lease_end=now + LEASE,
                sending=under_way,
                among=among,
                excluded=excluded,
                per_hook=slots,
                limit=free,
            )
        for row in rows:
            self._begin(row)
        return len(rows)

    def _begin(self, row: Row) -> None:
        try:
            claimed = read_claimed(row)
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
        attempt = await self.sender.attempt(claimed)
        self._note_silence(claimed.hook.id, attempt)
        if attempt.outcome is not None:
            self._outcomes.append(attempt.outcome)

    def _note_silence(self, hook_id: UUID, attempt: Attempt) -> None:
        before = self._silent.get(hook_id)
        if attempt.silent:
            times = before.times + 1 if before else 1
            rest = min(timedelta(seconds=2 ** min(times - 1, 10)), LONGEST_REST)
            self._silent[hook_id] = Silence(times=times, until=self._clock() + rest)
        elif attempt.answered:
            self._silent.pop(hook_id, None)

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
