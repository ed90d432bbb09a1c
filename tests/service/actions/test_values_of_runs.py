"""Where a new run's labels, run config and parameters come from: every combination through the verb, as stored
(actions.md §2.6)."""

from itertools import product
from typing import Any

import pytest

from server_core.actions.context import ActionContext
from server_core.actions.runs import create_flow_run
from server_core.db.session import Database
from server_core.errors import InvalidInput
from tests.support.rows import execute, fetch_all, fetch_one, make_flow, make_flow_run

REQUIRED = {"name": "p", "slug": "p", "required": True, "default": None}


@pytest.mark.parametrize("empty", [False, True])
async def test_labels_in_all_combinations(context: ActionContext, database: Database, empty: bool) -> None:
    """§2.6.3: argument, its run config, the group, the group's run config, each there or not, each with labels or none.

    A source that is there wins over all behind it, also with no labels in it.
    """
    flow = await make_flow(
        database, run_config={"labels": ["of flow", "a"]}, environment={"labels": ["of environment"]}
    )

    def of(source: str) -> list[str]:
        return [] if empty else [f"of {source}", "b", "b"]

    for given in product([False, True], repeat=4):
        argument, run_config, group, group_run_config = given
        await execute(
            database,
            "UPDATE flow_group SET labels = $1, run_config = $2",
            of("group") if group else None,
            {"labels": of("group's run config")} if group_run_config else None,
        )
        run_id = await create_flow_run(
            context,
            flow_id=flow.id,
            labels=of("argument") if argument else None,
            run_config={"labels": of("run config")} if run_config else None,
        )
        names = ["argument", "run config", "group", "group's run config"]
        source = next((name for name, there in zip(names, given, strict=True) if there), None)
        expected = sorted(of(source)) if source else ["a", "of flow"]
        assert (await fetch_one(database, "flow_run", run_id))["labels"] == expected, given


@pytest.mark.parametrize(
    ("environment", "labels"),
    [({"labels": ["b", "a"]}, ["a", "b"]), ({"labels": None}, []), ({"labels": []}, []), ({}, []), (None, [])],
)
async def test_labels_of_the_environment_come_last(
    context: ActionContext, database: Database, environment: Any, labels: list[str]
) -> None:
    """§2.6.3: for flows of before run configs."""
    flow = await make_flow(database, environment=environment, run_config=None)
    run_id = await create_flow_run(context, flow_id=flow.id)
    assert (await fetch_one(database, "flow_run", run_id))["labels"] == labels


async def test_run_configs_in_all_combinations(context: ActionContext, database: Database) -> None:
    """§2.6.4: argument, group, flow; whole objects."""
    for argument, group, own in product([None, {"a": 1}], [None, {"b": 2}], [None, {"c": 3}]):
        flow = await make_flow(database, run_config=own, group={"run_config": group})
        run_id = await create_flow_run(context, flow_id=flow.id, run_config=argument)
        stored = (await fetch_one(database, "flow_run", run_id))["run_config"]
        assert stored == (argument or group or own)


async def test_required_parameters_come_from_anywhere(context: ActionContext, database: Database) -> None:
    """§2.6.5: the argument or the group; a default of the flow that is null is none. Extra keys are kept."""
    flow = await make_flow(database, parameters=[REQUIRED])
    with pytest.raises(InvalidInput, match="p"):
        await create_flow_run(context, flow_id=flow.id, parameters={"q": 1})
    assert await fetch_all(database, "SELECT FROM flow_run") == []
    run_id = await create_flow_run(context, flow_id=flow.id, parameters={"p": None, "q": 1})
    assert (await fetch_one(database, "flow_run", run_id))["parameters"] == {"p": None, "q": 1}
    await execute(database, "UPDATE flow_group SET default_parameters = $1", {"p": 2, "q": 2})
    run_id = await create_flow_run(context, flow_id=flow.id, parameters={"q": 3})
    assert (await fetch_one(database, "flow_run", run_id))["parameters"] == {"p": 2, "q": 3}


async def test_cache_keys_reach_the_task_runs_one_by_one(context: ActionContext, database: Database) -> None:
    """§2.6.8, §10: each task run has its task's key, or null."""
    flow = await make_flow(database, tasks=3)
    for task_id, cache_key in zip(flow.task_ids, ("one", None, "two"), strict=True):
        await execute(database, "UPDATE task SET cache_key = $2 WHERE id = $1", task_id, cache_key)
    run_id = await create_flow_run(context, flow_id=flow.id)
    rows = await fetch_all(database, "SELECT task_id, cache_key FROM task_run WHERE flow_run_id = $1", run_id)
    assert {row["task_id"]: row["cache_key"] for row in rows} == dict(
        zip(flow.task_ids, ("one", None, "two"), strict=True)
    )


async def test_a_run_without_a_tenant_has_task_runs_too(database: Database) -> None:
    """§4.1: rows of the legacy server may lack a tenant; the trigger copies what there is."""
    flow = await make_flow(database, tasks=2)
    run_id = await make_flow_run(database, flow)
    await execute(database, "DELETE FROM flow_run WHERE id = $1", run_id)
    await execute(database, "INSERT INTO flow_run (flow_id, tenant_id) VALUES ($1, NULL)", flow.id)
    rows = await fetch_all(
        database,
        "SELECT r.tenant_id, s.tenant_id AS of_state, s.state FROM task_run r JOIN task_run_state s"
        " ON s.task_run_id = r.id",
    )
    assert [tuple(row.values()) for row in rows] == [(None, None, "Pending")] * 2
