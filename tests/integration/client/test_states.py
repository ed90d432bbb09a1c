"""Every state that the client's engine brings about, as its own process sends them (actions.md §3.1, §3.9)."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest

from tests.support.prefect_client import BEATING_THREAD, PrefectClient
from tests.support.runs import history, task_histories
from tests.support.whole_server import Server

RAN = ["Pending", "Running", "Success"]
KEPT = ["Pending", "Running", "Success", "Cached"]
CHILD_SKIPPED = ["Pending", "Running", "Skipped"]
ONE_RETRY = ["Pending", "Running", "Failed", "Retrying", "Running"]

DONE = ["Scheduled", "Running", "Success"]
STILL_OPEN = ["Scheduled", "Running"]

HISTORIES: Mapping[str, tuple[list[str], Mapping[str, list[str]]]] = {
    "retries": (
        DONE,
        {
            "flaky": [*ONE_RETRY, "Failed", "Retrying", "Running", "Success"],
            "asks_again": ["Pending", "Running", "Retrying", "Running", "Success"],
            "hopeless": [*ONE_RETRY, "Failed"],
            "after_hopeless": ["Pending", "TriggerFailed"],
            "clean_up": RAN,
        },
    ),
    "loops": (DONE, {"loop": ["Pending", "Running", "Looped", "Running", "Looped", "Running", "Success"]}),
    "skips": (
        DONE,
        {
            "skips": CHILD_SKIPPED,
            "after_skip": ["Pending", "Skipped"],
            "in_spite_of_skip": RAN,
            "which": RAN,
            "case(left)": RAN,
            "left": RAN,
            "case(right)": CHILD_SKIPPED,
            "right": ["Pending", "Skipped"],
            "Merge": RAN,
        },
    ),
    "signals": (
        # A paused task leaves its run open: somebody may approve it.
        STILL_OPEN,
        {
            "slow": ["Pending", "Running", "TimedOut"],
            "FAIL": ["Pending", "Running", "Failed"],
            "SUCCESS": RAN,
            "PAUSE": ["Pending", "Running", "Paused"],
            "TRIGGERFAIL": ["Pending", "Running", "TriggerFailed"],
            "VALIDATIONFAIL": ["Pending", "Running", "ValidationFailed"],
        },
    ),
    "mapping": (
        DONE,
        {
            "items": RAN,
            "times": ["Pending", "Mapped"],
            "times[0]": RAN,
            "times[1]": [*ONE_RETRY, "Success"],
            "times[2]": CHILD_SKIPPED,
            "times[3]": [*ONE_RETRY, "Failed"],
            "gather": ["Pending", "Skipped"],
            "twice": ["Pending", "Mapped"],
            **{f"twice[{index}]": RAN for index in range(4)},
            "twice again": ["Pending", "Mapped"],
            **{f"twice again[{index}]": RAN for index in range(8)},
            "gather flat": RAN,
        },
    ),
    "cancels": (DONE, {"create_flow_run": RAN, "CancelFlowRun": RAN}),
    "caching": (DONE, {"x": RAN, "y": RAN, "kept": KEPT, "kept_by_key": KEPT, "stale": KEPT}),
    "cached": (
        DONE,
        {"x": RAN, "y": RAN, "kept": ["Pending", "Cached"], "kept_by_key": ["Pending", "Cached"], "stale": KEPT},
    ),
    "other input": (DONE, {"x": RAN, "y": RAN, "kept": ["Pending", "Cached"], "kept_by_key": KEPT, "stale": KEPT}),
}


async def test_the_engine_goes_through_its_states(server: Server, client: PrefectClient, project: str) -> None:
    """§3.9: histories of flow and task runs are what the client wrote, in its order, and nothing else."""
    ids = await client.answers("states.py", project, str(client.home / "results"), env=BEATING_THREAD)
    assert ids.keys() == HISTORIES.keys()
    for name, (of_flow, of_tasks) in HISTORIES.items():
        assert await history(server, ids[name]) == of_flow, name
        assert await task_histories(server, ids[name]) == of_tasks, name

    retries, loops = ids["retries"], ids["loops"]
    retrying = await documents(server, retries, "flaky", "Retrying")
    assert [(state["run_count"], state["context"]["task_run_count"]) for state in retrying] == [(1, 1), (2, 2)]
    looped = await documents(server, loops, "loop", "Looped")
    assert [(state["loop_count"], state["message"]) for state in looped] == [(1, "round 1"), (2, "round 2")]
    assert all(state["_result"]["type"] == "LocalResult" for state in looped)
    [paused] = await documents(server, ids["signals"], "PAUSE", "Paused")
    assert paused["start_time"] is None
    [mapped] = await documents(server, ids["mapping"], "times", "Mapped")
    assert mapped["n_map_states"] == 4
    cancelled = await server.value(
        "SELECT r.id FROM flow_run r JOIN flow f ON f.id = r.flow_id JOIN project p ON p.id = f.project_id"
        " WHERE p.name = $1 AND r.name = 'not to be'",
        project,
    )
    assert await history(server, cancelled) == ["Scheduled", "Cancelled"]
    await check_times(server, ids)
    await check_mapped(server, ids["mapping"])
    await check_cached(server, ids)


async def documents(server: Server, run_id: str, task: str, state: str) -> list[dict[str, Any]]:
    """Return the states of one kind that a task run went through, as they are stored."""
    rows = await server.rows(
        "SELECT s.serialized_state FROM task_run_state s JOIN task_run r ON r.id = s.task_run_id"
        " JOIN task t ON t.id = r.task_id"
        " WHERE r.flow_run_id = $1 AND t.name = $2 AND r.map_index = -1 AND s.state = $3 ORDER BY s.version",
        UUID(run_id),
        task,
        state,
    )
    return [row["serialized_state"] for row in rows]


async def check_times(server: Server, ids: Mapping[str, str]) -> None:
    """§4.2: who ran has a start; TriggerFailed, ValidationFailed, Mapped and Skipped are no ends; none waits."""
    rows = await server.rows(
        "SELECT r.state, s.states @> '{Running}' AS ran, r.start_time IS NOT NULL AS started,"
        " r.end_time IS NOT NULL AS ended, r.state_start_time IS NOT NULL AS waits"
        " FROM task_run r,"
        " LATERAL (SELECT array_agg(state::text) AS states FROM task_run_state WHERE task_run_id = r.id) s"
        " WHERE r.flow_run_id = ANY($1::uuid[])",
        [UUID(id) for id in ids.values()],
    )
    assert len(rows) == sum(len(tasks) for _, tasks in HISTORIES.values())
    no_end = {"Paused", "TriggerFailed", "ValidationFailed", "Mapped", "Skipped"}
    for row in rows:
        assert row["started"] is row["ran"], dict(row)
        assert row["ended"] is (row["state"] not in no_end), dict(row)
        assert not row["waits"], dict(row)


async def check_mapped(server: Server, run_id: str) -> None:
    """§2.1: the children are counted by state; their names are the ones their inputs gave them (K4)."""
    [parent] = await server.rows(
        "SELECT r.id FROM task_run r JOIN task t ON t.id = r.task_id"
        " WHERE r.flow_run_id = $1 AND t.name = 'times' AND r.map_index = -1",
        UUID(run_id),
    )
    told = await server.query(
        f'query {{ mapped_children(task_run_id: "{parent["id"]}") {{ state_counts min_start_time max_end_time }} }}'
    )
    assert told["mapped_children"]["state_counts"] == {"Success": 2, "Skipped": 1, "Failed": 1}
    assert told["mapped_children"]["min_start_time"] < told["mapped_children"]["max_end_time"]
    names = await server.rows(
        "SELECT r.name FROM task_run r JOIN task t ON t.id = r.task_id"
        " WHERE r.flow_run_id = $1 AND t.name = 'times' AND r.map_index >= 0 ORDER BY r.map_index",
        UUID(run_id),
    )
    assert [row["name"] for row in names] == [f"times of {item}" for item in (1, 2, 3, 4)]


async def check_cached(server: Server, ids: Mapping[str, str]) -> None:
    """K5: a Cached state says until when and for which inputs; it is found by its key, or else by its task."""
    [state] = await documents(server, ids["cached"], "kept_by_key", "Cached")
    [origin] = await documents(server, ids["caching"], "kept_by_key", "Cached")
    assert state["_result"]["location"] == origin["_result"]["location"] is not None
    assert state["cached_parameters"] == {"x": 1, "y": 1}
    assert state["hashed_inputs"].keys() == {"x", "y"}
    assert state["cached_result_expiration"] == origin["cached_result_expiration"]
    found = await server.query(
        'query { task_run(where: { state: { _eq: "Cached" }, state_timestamp: { _gte: "2000-01-01T00:00:00" },'
        ' cache_key: { _eq: "shared key" } }, order_by: { state_timestamp: desc }, limit: 100)'
        " { flow_run_id map_index } }"
    )
    order = [ids["other input"], ids["cached"], ids["caching"]]
    assert [row["flow_run_id"] for row in found["task_run"] if row["flow_run_id"] in ids.values()] == order


@pytest.mark.parametrize("children", [1000])
async def test_a_task_is_mapped(server: Server, client: PrefectClient, project: str, children: int) -> None:
    """A task mapped over many items: one child per item, all with their whole history, summed by `mapped_children`."""
    told = await client.answers("mapped.py", project, str(children), env=BEATING_THREAD, seconds=300)
    run_id = UUID(told["run_id"])
    assert told["total"] == sum(range(children)) * 2
    assert await history(server, run_id) == DONE
    histories = await task_histories(server, run_id)
    assert histories == {
        "numbers": RAN,
        "double": ["Pending", "Mapped"],
        "total": RAN,
        **{f"double[{index}]": RAN for index in range(children)},
    }
    counted = await server.query(
        f'query {{ mapped_children(task_run_id: "{told["parent_id"]}") {{ state_counts max_end_time }} }}'
    )
    assert counted["mapped_children"]["state_counts"] == {"Success": children}
    of_children = f'{{ task_id: {{ _eq: "{told["task_id"]}" }}, flow_run_id: {{ _eq: "{run_id}" }} }}'
    answer = await server.query(f"query {{ task_run_aggregate(where: {of_children}) {{ aggregate {{ count }} }} }}")
    assert answer["task_run_aggregate"]["aggregate"]["count"] == children + 1
