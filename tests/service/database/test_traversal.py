"""The functions that walk a flow's edges (schema.md §3 and §6)."""

from collections.abc import Sequence
from uuid import uuid4

import pytest

from server_core.db.session import Database, WriteSession
from tests.support.factories import Flow, insert_edge, make_flow

CHAINS = [(1, 2), (2, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9), (9, 10), (2, 7), (9, 5)]
"""1→2→3→4→5 and 6→7→8→9→10, joined by 2→7 and 9→5; task 0 is alone."""


async def make_chains(session: WriteSession) -> Flow:
    return await make_flow(session, tasks=11, edges=CHAINS)


async def walk(
    session: WriteSession, flow: Flow, starts: Sequence[int], *limit: int | None, direction: str = "downstream"
) -> dict[int, int]:
    """Return depth by task number."""
    ids = [flow.task_ids[number] for number in starts]
    call = f"utility.{direction}_tasks($1, $2)" if limit else f"utility.{direction}_tasks($1)"
    rows = await session.fetch(f"SELECT * FROM {call}", ids, *limit)
    assert {row["tenant_id"] for row in rows} <= {flow.tenant_id}
    assert [row["depth"] for row in rows] == sorted(row["depth"] for row in rows)
    depths = {flow.task_ids.index(row["task_id"]): row["depth"] for row in rows}
    assert len(depths) == len(rows)
    return depths


async def test_downstream(database: Database) -> None:
    """§4.7: a task that several routes reach has the greatest depth, once."""
    async with database.transaction() as session:
        flow = await make_chains(session)
        assert await walk(session, flow, [1]) == {1: 0, 2: 1, 3: 2, 7: 2, 4: 3, 8: 3, 9: 4, 5: 5, 10: 5}
        deepest = await walk(session, flow, [6, 9])
        assert (deepest[5], deepest[10], deepest[9]) == (4, 4, 3)
        assert await walk(session, flow, [1], 2) == {1: 0, 2: 1, 3: 2, 7: 2}


async def test_upstream(database: Database) -> None:
    """§4.7: a task that several routes reach has the greatest depth, once."""
    async with database.transaction() as session:
        flow = await make_chains(session)
        assert await walk(session, flow, [7], direction="upstream") == {7: 0, 6: 1, 2: 1, 1: 2}
        assert await walk(session, flow, [7], 1, direction="upstream") == {7: 0, 6: 1, 2: 1}


@pytest.mark.parametrize("limit", [0, -1, None])
async def test_no_step_is_taken(database: Database, limit: int | None) -> None:
    async with database.transaction() as session:
        flow = await make_chains(session)
        assert await walk(session, flow, [1, 6], limit) == {1: 0, 6: 0}


async def test_unknown_and_missing_starts_give_nothing(database: Database) -> None:
    async with database.transaction() as session:
        await make_chains(session)
        for starts in ([uuid4()], [], None):
            assert await session.fetch("SELECT * FROM utility.downstream_tasks($1)", starts) == []


async def test_a_cycle_runs_to_the_limit(database: Database) -> None:
    async with database.transaction() as session:
        flow = await make_flow(session, tasks=1, edges=[(0, 0)])
        assert await walk(session, flow, [0]) == {0: 50}
        assert await walk(session, flow, [0], 99) == {0: 50}
        assert await walk(session, flow, [0], 3) == {0: 3}


async def test_a_wide_flow_is_walked_in_steps_not_in_paths(database: Database) -> None:
    layers = [(upper * 10 + a, upper * 10 + 10 + b) for upper in range(9) for a in range(10) for b in range(10)]
    async with database.transaction() as session:
        flow = await make_flow(session, tasks=100)
        await session.execute(
            "INSERT INTO edge (tenant_id, flow_id, upstream_task_id, downstream_task_id)"
            " SELECT $1, $2, * FROM unnest($3::uuid[], $4::uuid[])",
            flow.tenant_id,
            flow.id,
            [flow.task_ids[upper] for upper, _ in layers],
            [flow.task_ids[lower] for _, lower in layers],
        )
        # A billion paths, a hundred tasks.
        assert len(await walk(session, flow, range(10))) == 100


async def test_an_edge_of_nobody_shows_its_task_twice(database: Database) -> None:
    async with database.transaction() as session:
        flow = await make_flow(session, tasks=3, edges=[(0, 1)])
        await insert_edge(
            session,
            flow_id=flow.id,
            tenant_id=None,
            upstream_task_id=flow.task_ids[2],
            downstream_task_id=flow.task_ids[1],
        )
        rows = await session.fetch("SELECT * FROM utility.downstream_tasks($1)", [flow.task_ids[0], flow.task_ids[2]])
        found = [row["tenant_id"] for row in rows if row["task_id"] == flow.task_ids[1]]
        assert sorted(map(str, found)) == sorted(["None", str(flow.tenant_id)])
