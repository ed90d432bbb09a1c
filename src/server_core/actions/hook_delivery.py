"""Carries state changes to the receivers of cloud hooks, in the background. Given to actions in their ActionContext.

A state write hands its changes over (`notify`) and goes on: it neither waits for a receiver nor fails with one
(actions.md §3.4, §7.2). One worker at a time looks up, with one statement per batch of changes, whether any hook wants
them; only then are the runs' names read and the requests sent, each in a task of its own.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID, uuid4

import httpx

from server_core.actions.changes import FlowRunStateChange
from server_core.clock import Clock, utc_now
from server_core.db.session import Database, Row
from server_core.errors import ServerError
from server_core.rules import cloud_hooks as rules
from server_core.rules import hook_events
from server_core.store import cloud_hooks as store
from server_core.store import messages

logger = logging.getLogger(__name__)

BATCH = 500
MOST_WAITING = 20_000
MOST_AT_ONCE = 50
GRACE_SECONDS = 2.5


class HookDelivery:
    """Delivers to the receivers of cloud hooks; one per process that writes states.

    Args:
        database: where hooks and messages are.
        api_url: base of the links in notifications.
        client: HTTP client; made at the first request if not given, closed by stop either way.
        clock: the time of events.
    """

    def __init__(
        self,
        database: Database,
        *,
        api_url: str,
        client: httpx.AsyncClient | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._api_url = api_url
        self._client = client
        self._clock = clock
        self._waiting: deque[FlowRunStateChange] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(MOST_AT_ONCE)
        self._stopped = False

    def notify(self, changes: Sequence[FlowRunStateChange]) -> None:
        """Have the hooks that want these changes told of them, in the background; call after the commit.

        Never raises and never waits. Changes beyond MOST_WAITING, or after stop, are dropped with a log line.
        """
        if not changes:
            return
        if self._stopped or len(self._waiting) + len(changes) > MOST_WAITING:
            logger.warning("cloud hooks: %d state changes dropped", len(changes))
            return
        self._waiting.extend(changes)
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def drain(self) -> None:
        """Wait until everything handed over so far is delivered or has failed."""
        while self._worker is not None or self._sending:
            await asyncio.wait([task for task in (self._worker, *self._sending) if task is not None])

    async def stop(self) -> None:
        """Give what is under way GRACE_SECONDS to finish, drop the rest, close the HTTP client."""
        self._stopped = True
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                await self.drain()
        except TimeoutError:
            left = [task for task in (self._worker, *self._sending) if task is not None]
            logger.warning("cloud hooks: %d deliveries dropped at stop", len(left))
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def deliver(self, hook: rules.CloudHook, event: hook_events.Event) -> None:
        """Tell one hook's receiver of one event, now. The status of its answer does not matter (§7.2).

        Raises:
            TimeoutError: the receiver took too long.
            httpx.HTTPError, httpx.InvalidURL: it cannot be reached.
            ServerError: a message could not be stored.
        """
        if hook.type == rules.PREFECT_MESSAGE:
            async with self._database.autocommit() as session:
                await messages.insert_message(
                    session,
                    tenant_id=hook.tenant_id,
                    type="CLOUD_HOOK",
                    content=hook_events.message_content(event),
                )
        for delivery in hook_events.deliveries(hook, event, api_url=self._api_url):
            await self._post(delivery)

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                try:
                    for hook, event in await self._find(batch):
                        self._send(hook, event)
                except Exception:
                    logger.exception("cloud hooks: %d state changes could not be looked up", len(batch))
        finally:
            self._worker = None

    async def _find(self, batch: Sequence[FlowRunStateChange]) -> list[tuple[rules.CloudHook, hook_events.Event]]:
        tenants = list({change.tenant_id for change in batch if change.tenant_id is not None})
        states = list({change.state.upper() for change in batch})
        if not tenants:
            return []
        async with self._database.read() as session:
            hooks = await store.find_active_hooks(session, tenant_ids=tenants, states=states)
            if not hooks:
                return []
            runs = await store.find_subjects(session, flow_run_ids=[change.flow_run_id for change in batch])
        subjects = {run["flow_run_id"]: rules.Subject(**run) for run in runs}
        return list(self._wanted(batch, [read_hook(hook) for hook in hooks], subjects))

    def _wanted(
        self,
        batch: Sequence[FlowRunStateChange],
        hooks: Sequence[rules.CloudHook],
        subjects: Mapping[UUID, rules.Subject],
    ) -> Iterator[tuple[rules.CloudHook, hook_events.Event]]:
        for change in batch:
            subject = subjects.get(change.flow_run_id)
            if subject is None:
                continue
            for hook in hooks:
                if rules.matches(hook, subject=subject, state=change.state):
                    yield hook, self._event(change, subject)

    def _event(self, change: FlowRunStateChange, subject: rules.Subject) -> hook_events.Event:
        return hook_events.Event(
            id=uuid4(),
            timestamp=self._clock(),
            subject=subject,
            run_version=change.previous_version,
            run_state=change.previous_state,
            state=hook_events.NewState(
                id=change.state_id,
                version=change.version,
                state=change.state,
                timestamp=change.timestamp,
                message=change.message,
                start_time=change.start_time,
                serialized_state=change.serialized_state,
            ),
        )

    def _send(self, hook: rules.CloudHook, event: hook_events.Event) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver_alone(hook, event))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _deliver_alone(self, hook: rules.CloudHook, event: hook_events.Event) -> None:
        """Deliver, and let a failure be nobody else's (§7.2): it is logged without the receiver's secrets."""
        try:
            await self.deliver(hook, event)
        except Exception as error:
            logger.warning(
                "cloud hook not delivered: %s",
                describe(error),
                extra={
                    "cloud_hook_id": str(hook.id),
                    "cloud_hook_type": hook.type,
                    "flow_run_id": str(event.subject.flow_run_id),
                },
            )

    async def _post(self, delivery: hook_events.Delivery) -> None:
        async with self._slots, asyncio.timeout(delivery.timeout_seconds):
            client = self._http()
            request = client.build_request(
                "POST", delivery.url, json=delivery.json, data=delivery.form, headers=delivery.headers
            )
            response = await client.send(
                request,
                auth=delivery.basic_auth or httpx.USE_CLIENT_DEFAULT,
                follow_redirects=False,
                stream=True,
            )
            await response.aclose()

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(limits=httpx.Limits(max_connections=MOST_AT_ONCE))
        return self._client


def read_hook(row: Row) -> rules.CloudHook:
    """Return a stored hook as a value."""
    return rules.CloudHook(**{**row, "states": row["states"] or ()})


def describe(error: BaseException) -> str:
    """Say why a delivery failed, in words that may be shown to whoever owns the hook."""
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "The receiver did not answer in time."
    if isinstance(error, ServerError):
        return error.message
    if isinstance(error, httpx.HTTPError | httpx.InvalidURL):
        return str(error) or type(error).__name__
    return f"The hook cannot be delivered ({type(error).__name__})."
