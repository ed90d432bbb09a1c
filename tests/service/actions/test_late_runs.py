"""Why a run is late, told from the database; and in agreement with what an agent's poll returns (demand 14)."""

from datetime import timedelta
from itertools import product
from uuid import UUID, uuid4

import pytest

from server_core.actions.context import ActionContext
from server_core.actions.late_runs import Explanation, explain_run, look_at_waiting_runs
from server_core.actions.queue import get_runs_in_queue
from server_core.clock import utc_now
from server_core.db.session import Database
from server_core.errors import NotFound
from tests.support.factories import Flow, insert_agent, insert_flow_run_state, make_flow_run
from tests.support.factories import make_flow as insert_whole_flow
from tests.support.recorder import recorded
from tests.support.rows import execute, make_flow

LABELS: tuple[list[str], ...] = ([], ["a"], ["b"], ["a", "b"])


@pytest.fixture
async def flow(database: Database) -> Flow:
    return await make_flow(database)


async def make_run(
    database: Database, flow: Flow, *, labels: list[str], late: timedelta = timedelta(hours=1), state: str = "Scheduled"
) -> UUID:
    async with database.transaction() as session:
        run = await make_flow_run(session, flow=flow, labels=labels)
        await insert_flow_run_state(
            session, flow_run_id=run, tenant_id=flow.tenant_id, state=state, start_time=utc_now() - late, version=1
        )
    return run


async def make_agent(database: Database, flow: Flow, *, labels: list[str], silent: timedelta = timedelta()) -> None:
    async with database.transaction() as session:
        await insert_agent(session, tenant_id=flow.tenant_id, labels=labels, last_queried=utc_now() - silent)


def codes(explanation: Explanation) -> list[str]:
    return [reason.code for reason in explanation.reasons]


async def test_what_is_said_is_what_the_queue_does(context: ActionContext, database: Database, flow: Flow) -> None:
    """§2.8: of each pair of labels, nothing keeps the run if and only if such an agent's poll returns it."""
    for given, wanted in product(LABELS, LABELS):
        await execute(database, "DELETE FROM agent")
        await make_agent(database, flow, labels=given)
        run = await make_run(database, flow, labels=wanted)
        taken = run in await get_runs_in_queue(context, tenant_id=flow.tenant_id, labels=given)
        kept = any(reason.keeps for reason in (await explain_run(context, run)).reasons)
        assert taken is not kept, (given, wanted)
        await execute(database, "DELETE FROM flow_run")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE agent SET last_queried = now() - interval '1 hour'", "AGENTS_SILENT"),
        ("UPDATE flow SET archived = true", "WAITS_FOR_POLL"),
        ("INSERT INTO pending_removal (id, kind) SELECT id, 'flow' FROM flow", "BEING_DELETED"),
        ("UPDATE flow_run SET state = 'Submitted'", "SUBMITTED"),
        ("UPDATE flow_run SET state_start_time = now() + interval '1 day'", "NOT_DUE"),
        ("DELETE FROM agent", "NO_AGENT"),
        (
            'UPDATE flow_group SET settings = \'{"late_policy": "skip_after", "late_after_seconds": 60}\';'
            "UPDATE flow_run SET auto_scheduled = true, scheduled_start_time = state_start_time",
            "TOO_LATE",
        ),
    ],
)
async def test_each_fact_is_read(
    context: ActionContext, database: Database, flow: Flow, change: str, code: str
) -> None:
    await make_agent(database, flow, labels=["a"])
    run = await make_run(database, flow, labels=["a"])
    assert codes(await explain_run(context, run)) == ["WAITS_FOR_POLL"]
    for statement in change.split(";"):
        await execute(database, statement)
    assert codes(await explain_run(context, run))[0] == code


async def test_runs_before_it_are_counted(context: ActionContext, database: Database, flow: Flow) -> None:
    await make_agent(database, flow, labels=[])
    for minutes in range(context.settings.queued_runs_returned_limit):
        await make_run(database, flow, labels=[], late=timedelta(hours=2, minutes=minutes))
    await make_run(database, flow, labels=["a"], late=timedelta(hours=3))
    run = await make_run(database, flow, labels=[])
    assert codes(await explain_run(context, run)) == ["OTHERS_FIRST"]


async def test_agents_of_other_tenants_do_not_count(context: ActionContext, database: Database, flow: Flow) -> None:
    async with database.transaction() as session:
        other = await insert_whole_flow(session)
    await make_agent(database, other, labels=["a"])
    run = await make_run(database, flow, labels=["a"])
    assert codes(await explain_run(context, run)) == ["NO_AGENT"]


async def test_the_look_at_all_is_a_constant_number_of_statements(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    await make_agent(database, flow, labels=["a"])
    runs = [await make_run(database, flow, labels=["b"], late=timedelta(minutes=60 - each)) for each in range(7)]
    await make_run(database, flow, labels=["b"], late=timedelta(seconds=5))
    async with recorded(database) as recorder:
        waiting = await look_at_waiting_runs(context, limit=3)
    assert waiting.late == 7
    assert [each.id for each in waiting.oldest] == runs[:3]
    assert {codes(each)[0] for each in waiting.oldest} == {"NO_AGENT_WITH_LABELS"}
    assert [agent.labels for agent in waiting.agents] == [["a"]]
    # asyncpg asks for types that a connection has not met yet
    ours = [text for text in recorder.statements if "typeinfo" not in text and "set_config" not in text]
    assert len(ours) == 4


async def test_an_unknown_run_is_not_found(context: ActionContext) -> None:
    with pytest.raises(NotFound, match="There is no flow run"):
        await explain_run(context, uuid4())
