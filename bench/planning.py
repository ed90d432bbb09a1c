"""How long the scheduler takes for many active flows of which nothing is planned yet, and when nothing is due any more.

    python -m bench.planning [--flows 10000]

Counts the statements of the first pass too: they are what distance to the database multiplies.
"""

import argparse
import asyncio
import time
from dataclasses import dataclass
from typing import Final

from bench.dataset import postgres
from bench.towel import FLOWS
from server_core.actions.context import ActionContext
from server_core.config import Settings
from server_core.db.migrate import upgrade
from server_core.db.session import Database
from services.towel.loops.scheduler import Scheduler
from tests.support.recorder import recorded

FIRST_SECONDS: Final = 60.0
STATEMENTS: Final = 300
SECOND_SECONDS: Final = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Planning:
    """What two passes took.

    Attributes:
        flows: active ones.
        flow_runs: planned by the first pass.
        first_seconds, second_seconds: how long they took.
        statements: of the first pass.
    """

    flows: int
    flow_runs: int
    first_seconds: float
    second_seconds: float
    statements: int

    def table(self) -> str:
        """Return the figures as lines of text."""
        return "\n".join(
            (
                f"{self.flows} active flows, {self.flow_runs} runs planned",
                f"first pass   {self.first_seconds:.1f} s (target < {FIRST_SECONDS:.0f} s)",
                f"statements   {self.statements} (target < {STATEMENTS})",
                f"second pass  {self.second_seconds:.2f} s (target < {SECOND_SECONDS:.0f} s)",
            )
        )


async def planning(*, flows: int) -> Planning:
    """Make the flows in a new database, plan them, look again."""
    with postgres() as dsn:
        await upgrade(dsn)
        settings = Settings()
        async with Database(dsn, settings.database) as database:
            async with database.transaction() as session:
                tenant = await session.fetch_value("INSERT INTO tenant (name, slug) VALUES ('t', 't') RETURNING id")
                await session.execute("INSERT INTO project (tenant_id, name) VALUES ($1, 'p')", tenant)
                await session.execute("SET LOCAL statement_timeout = 0")
                await session.execute("SET LOCAL session_replication_role = replica")
                for statement in FLOWS:
                    await session.execute(statement, 1, flows)
            async with database.connection() as connection:
                await connection.execute("VACUUM (ANALYZE)")
            context = ActionContext(database=database, settings=settings)
            scheduler = Scheduler()
            async with recorded(database) as recorder:
                since = time.perf_counter()
                counts = await scheduler.run_once(context)
                first = time.perf_counter() - since
            since = time.perf_counter()
            await scheduler.run_once(context)
            second = time.perf_counter() - since
    return Planning(
        flows=flows,
        flow_runs=counts["flow_runs"],
        first_seconds=first,
        second_seconds=second,
        statements=len(recorder.statements),
    )


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--flows", type=int, default=10_000)
    print(asyncio.run(planning(flows=parser.parse_args().flows)).table())


if __name__ == "__main__":
    main()
