"""What runs went through, read from the database. Used by tests that drive the real client."""

from collections.abc import Callable
from uuid import UUID

from tests.support.waiting import wait_until
from tests.support.whole_server import Server

DEADLINE_SECONDS = 90.0
"""Longest wait for a run that takes some seconds on an idle machine."""


async def state_of(server: Server, run_id: str | UUID) -> str | None:
    """Return the state a flow run is in."""
    state: str | None = await server.value("SELECT state FROM flow_run WHERE id = $1", UUID(str(run_id)))
    return state


async def wait_for_state(
    server: Server, run_id: str | UUID, *states: str, detail: Callable[[], str] | None = None
) -> str:
    """Wait until a flow run is in one of some states, and return which."""

    async def reached() -> str | None:
        state = await state_of(server, run_id)
        return state if state in states else None

    what = f"flow run {run_id} in {' or '.join(states)}"
    found: str = await wait_until(reached, seconds=DEADLINE_SECONDS, what=what, detail=detail)
    return found


async def history(server: Server, run_id: str | UUID) -> list[str]:
    """Return the states a flow run went through; their versions have no gap and no repetition."""
    rows = await server.rows(
        "SELECT state, version FROM flow_run_state WHERE flow_run_id = $1 ORDER BY version, timestamp",
        UUID(str(run_id)),
    )
    assert [row["version"] for row in rows] == list(range(1, len(rows) + 1))
    return [row["state"] for row in rows]


async def task_histories(server: Server, run_id: str | UUID) -> dict[str, list[str]]:
    """Return the states each task run of a flow run went through, by task name; a mapped child is `name[3]`.

    Versions have no gap and no repetition, and each task run is at the last of them.
    """
    rows = await server.rows(
        """
        SELECT t.name || CASE WHEN r.map_index < 0 THEN '' ELSE '[' || r.map_index || ']' END AS name, r.version,
               r.state, array_agg(s.state::text ORDER BY s.version, s.timestamp) AS states,
               array_agg(s.version ORDER BY s.version) AS versions
        FROM task_run r
        JOIN task t ON t.id = r.task_id
        JOIN task_run_state s ON s.task_run_id = r.id
        WHERE r.flow_run_id = $1
        GROUP BY r.id, t.name
        """,
        UUID(str(run_id)),
    )
    for row in rows:
        assert row["versions"] == list(range(1, len(row["states"]) + 1)), row
        assert (row["version"], row["state"]) == (row["versions"][-1], row["states"][-1]), row
    names = [row["name"] for row in rows]
    assert len(set(names)) == len(names), f"tasks of one name: {names}"
    return {row["name"]: list(row["states"]) for row in rows}
