"""Deletes what is older than the settings keep it, class by class (demands.md rows 5 and 19). Called by the towel's
loop and by `prefect-server database retention`.

Each class is gone through a page at a time, in small statements with pauses. A pass that runs out of time notes where
it was, and the next one goes on from there. Old flow runs are marked for removal (actions.removal) and then deleted
from below: what an interruption leaves is gone on with by the towel. What is unfinished is never touched, nor are its
logs and artifacts, nor the newest finished runs of a flow.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from server_core.actions.context import ActionContext
from server_core.actions.erasure import Budget, BudgetSpent, Eraser
from server_core.db.session import WriteSession
from server_core.rules import pacing
from server_core.rules.retention import NEVER, Limits, limits
from server_core.store import removal
from server_core.store import retention as store
from server_core.store.retention import Page

REST = 1.0
"""Pause per time at work: users come first."""

MOST_FLOW_RUNS = 500
"""Flow runs looked at, and marked, at once."""

_FIRST_ID = UUID(int=0)

Look = Callable[[WriteSession, Any, int], Awaitable[Page[Any]]]
Finish = Callable[[Page[Any]], Awaitable[int]]


@dataclass(kw_only=True)
class Progress:
    """Where the passes are.

    Attributes:
        places: by class, where the next pass goes on and how many pages it takes at once; not there: at the beginning.
    """

    places: dict[str, tuple[Any, int]] = field(default_factory=dict)


async def apply_retention(
    context: ActionContext,
    *,
    budget: Callable[[int], Budget],
    progress: Progress | None = None,
    dry_run: bool = False,
    rest: float = REST,
    first_rows: int = pacing.FIRST_ROWS,
) -> dict[str, int]:
    """Go through all classes that have a limit, each until it is done or its budget is spent.

    Args:
        budget: makes the budget of a class; is given how many classes there are.
        progress: where to begin; is told where the pass ended. None: at the beginning.
        dry_run: delete nothing, count what would go.
        rest: pause per time at work.
        first_rows: rows of the first page of each class.

    Returns:
        How many rows of each class that has a limit went, or would go; of flow runs without what is below them.

    Raises:
        Unavailable: the database cannot be reached; what was done before stays done.
    """
    bounds = limits(context.settings.retention, now=context.clock())
    progress = progress or Progress()
    counts: dict[str, int] = {}
    names = _classes(bounds)
    for name in names:
        eraser = Eraser(context.database, budget(len(names)), rest=rest, first_rows=first_rows)
        sweep = _Sweep(context, eraser, bounds, delete=not dry_run)
        counts[name] = await sweep.run(name, progress)
    return counts


def _classes(bounds: Limits) -> list[str]:
    wanted = {
        "logs": bounds.latest_log,
        "artifacts": bounds.artifacts,
        "messages": bounds.messages,
        "flow_runs": bounds.latest_flow_run,
        "agents": bounds.agents,
    }
    return [name for name, limit in wanted.items() if limit is not None]


class _Sweep:
    """One pass through a class."""

    def __init__(self, context: ActionContext, eraser: Eraser, bounds: Limits, *, delete: bool) -> None:
        self._context = context
        self._eraser = eraser
        self._bounds = bounds
        self._delete = delete

    async def run(self, name: str, progress: Progress) -> int:
        """Go on where the last pass ended; return how many rows went, or would go."""
        match name:
            case "logs":
                return await self._pages(name, progress, NEVER, self._look_at_logs, _gone)
            case "flow_runs":
                return await self._pages(
                    name, progress, NEVER, self._look_at_flow_runs, self._delete_flow_runs, most=MOST_FLOW_RUNS
                )
            case "artifacts":
                return await self._pages(name, progress, _FIRST_ID, self._by_id("task_run_artifact"), _gone)
            case "messages":
                return await self._pages(name, progress, _FIRST_ID, self._by_id("message"), _gone)
            case _:
                return await self._pages(name, progress, _FIRST_ID, self._by_id("agent"), self._delete_agents)

    async def _pages(
        self, name: str, progress: Progress, first: Any, look: Look, finish: Finish, *, most: int | None = None
    ) -> int:
        place, factor = progress.places.pop(name, (first, 1))
        count = 0
        while True:
            try:
                page, asked = await self._page(name, look, place, most=most, factor=factor)
                count += await finish(page) if page.due and self._delete else page.due
            except BudgetSpent:
                progress.places[name] = (place, factor)
                return count
            if page.seen < asked:
                return count
            # More rows of one time than a page holds: only a larger one gets past them.
            factor = factor * 2 if page.last == place else 1
            place = page.last

    async def _page(self, name: str, look: Look, place: Any, *, most: int | None, factor: int) -> tuple[Page[Any], int]:
        """Return a page, and how many rows were asked for."""
        found: list[tuple[Page[Any], int]] = []

        async def statement(session: WriteSession, limit: int) -> int:
            asked = min(limit, most or limit) * factor
            await removal.scope(session, durable=False)
            found.append((await look(session, place, asked), asked))
            return found[0][0].seen

        await self._eraser.work(f"a page of {name}", statement)
        return found[0]

    async def _look_at_logs(self, session: WriteSession, place: datetime, limit: int) -> Page[datetime]:
        assert self._bounds.latest_log is not None  # noqa: S101 - else it is not a class
        return await store.sweep_logs(
            session,
            start=place,
            end=self._bounds.latest_log,
            limit=limit,
            before=self._bounds.logs,
            levels=self._bounds.log_levels,
            delete=self._delete,
        )

    async def _look_at_flow_runs(self, session: WriteSession, place: datetime, limit: int) -> Page[datetime]:
        assert self._bounds.latest_flow_run is not None  # noqa: S101 - else it is not a class
        return await store.find_old_flow_runs(
            session,
            start=place,
            end=self._bounds.latest_flow_run,
            limit=limit,
            states=self._bounds.flow_runs,
            kept=self._bounds.kept_flow_runs,
        )

    async def _delete_flow_runs(self, page: Page[datetime]) -> int:
        async with self._context.database.transaction() as session:
            ids = await store.lock_old_flow_runs(session, ids=page.ids, states=self._bounds.flow_runs)
            marked = await removal.mark(session, kind="flow_run", ids=ids)
        await self._eraser.erase("flow_run", ids)
        return marked

    def _by_id(self, table: str) -> Look:
        before = {
            "task_run_artifact": self._bounds.artifacts,
            "message": self._bounds.messages,
            "agent": self._bounds.agents,
        }[table]
        assert before is not None  # noqa: S101 - else it is not a class

        async def look(session: WriteSession, place: UUID, limit: int) -> Page[UUID]:
            return await store.sweep_by_id(
                session,
                table,
                start=place,
                limit=limit,
                before=before,
                delete=self._delete and table != "agent",
            )

        return look

    async def _delete_agents(self, page: Page[UUID]) -> int:
        async def unlink(session: WriteSession, limit: int) -> int:
            await removal.scope(session, durable=False)
            return await store.unlink_agents(session, ids=page.ids, limit=limit)

        took = limit = 0
        while took == limit:
            took, limit = await self._eraser.work("runs of agents", unlink)
        assert self._bounds.agents is not None  # noqa: S101 - else it is not a class
        async with self._context.database.transaction() as session:
            return await store.delete_silent_agents(session, ids=page.ids, before=self._bounds.agents)


async def _gone(page: Page[Any]) -> int:
    return page.due
