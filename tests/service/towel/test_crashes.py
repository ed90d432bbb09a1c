"""`kill -9` of towels at random points leaves nothing half done (demands.md 12, 38; actions.md §5.2 to §5.4)."""

import asyncio
import json
import sys
from datetime import timedelta

from server_core.actions.context import ActionContext
from server_core.config import DatabaseSettings
from server_core.db.session import Database
from services.towel.lease import Leases
from services.towel.loops.scheduler import Scheduler
from tests.service.towel.test_scheduler import active, interval
from tests.support.crashing_towel import SETTINGS, START
from tests.support.rows import execute, fetch_all
from tests.support.waiting import wait_until

SEED = 12
KILLS = 100

BROKEN = {
    "a run without a state": "SELECT FROM flow_run WHERE state IS NULL",
    "a run without a first state": """
        SELECT FROM flow_run WHERE NOT EXISTS (
            SELECT FROM flow_run_state WHERE flow_run_id = flow_run.id AND version = 1 AND state = 'Scheduled')""",
    "a run that is not at its latest state": """
        SELECT FROM flow_run JOIN LATERAL (
            SELECT version, state FROM flow_run_state WHERE flow_run_id = flow_run.id ORDER BY version DESC LIMIT 1
        ) AS latest ON true
        WHERE (latest.version, latest.state) <> (flow_run.version, flow_run.state)""",
    "a version that was given twice": "SELECT FROM flow_run_state GROUP BY flow_run_id, version HAVING count(*) > 1",
    "a run that does not say that it was planned": "SELECT FROM flow_run WHERE NOT auto_scheduled",
    "an event with two runs": """
        SELECT FROM flow_run GROUP BY flow_id, scheduled_start_time, parameters HAVING count(*) > 1""",
    "a run without its task runs": """
        SELECT FROM flow_run WHERE (SELECT count(*) FROM task_run WHERE flow_run_id = flow_run.id) <> 2""",
    "a task run without a state": """
        SELECT FROM task_run WHERE NOT EXISTS (SELECT FROM task_run_state WHERE task_run_id = task_run.id)""",
    "a resurrection that was not logged, or not counted": """
        SELECT FROM flow_run WHERE times_resurrected <> (
            SELECT count(*) FROM log WHERE flow_run_id = flow_run.id AND level = 'INFO')""",
    "a task that was ended and not logged, or the other way round": """
        SELECT FROM task_run
        WHERE (SELECT count(*) FROM task_run_state
               WHERE task_run_id = task_run.id AND state IN ('Failed', 'Retrying'))
           <> (SELECT count(*) FROM log WHERE task_run_id = task_run.id)""",
    "a flow with an hour left out": """
        SELECT FROM (
            SELECT scheduled_start_time - lag(scheduled_start_time) OVER (
                PARTITION BY flow_id, parameters ORDER BY scheduled_start_time) AS step
            FROM flow_run
        ) AS steps
        WHERE step <> interval '1 hour'""",
}


async def test_a_hundred_towels_that_are_killed(database: Database, database_url: str) -> None:
    flows = [await active(database, interval(), interval(parameter_defaults={"n": n}), tasks=2) for n in range(4)]
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.crashing_towel", database_url, str(SEED), str(KILLS)),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await program.communicate()
    assert program.returncode == 0
    told = json.loads(said)
    print(f"seed {SEED}: {told}")
    assert told["within"] >= KILLS // 4
    found = {name: len(await fetch_all(database, sql)) for name, sql in BROKEN.items()}
    assert {name: count for name, count in found.items() if count} == {}
    [made] = await fetch_all(database, "SELECT count(*) AS runs, sum(times_resurrected) AS resurrected FROM flow_run")
    assert made["runs"] > len(flows) * told["hours"]
    assert made["resurrected"] > 0
    assert await fetch_all(database, "SELECT FROM log WHERE task_run_id IS NOT NULL")

    # The next leader takes over at its first tick and goes on with what is due.
    async with Database(database_url, DatabaseSettings(pool_size=1)) as lease_database:
        leases = Leases(lease_database)
        await wait_until(lambda: leases.hold("scheduler"), seconds=10, what="the lease of the killed towel")
        later = ActionContext(
            database=database, settings=SETTINGS, clock=lambda: START + timedelta(hours=told["hours"] + 5)
        )
        assert (await Scheduler().run_once(later))["flow_runs"] > 0
        await leases.release()
    await execute(database, "DELETE FROM flow")
