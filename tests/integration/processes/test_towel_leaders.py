"""Three towels: one of them runs each loop; when it is killed, another does (demands.md 38)."""

import signal
from collections.abc import Mapping
from typing import Any

import httpx

from tests.support.processes import Machine, Process
from tests.support.waiting import wait_until

LOOPS = ("scheduler", "lazarus")
INTERVALS = {f"PREFECT_SERVER__TOWEL__{name.upper()}_INTERVAL_SECONDS": "1" for name in LOOPS}


async def test_a_killed_leader_is_replaced(database_url: str, machine: Machine) -> None:
    machine.environ = {"PREFECT_SERVER__DATABASE__CONNECTION_URL": database_url, **INTERVALS}
    options = ("services", "towel", "--port", "0", "--loops", ",".join(LOOPS))
    running: dict[str, Process] = {}
    for towel in [await machine.run(*options) for _ in range(3)]:
        running[await towel.url()] = towel

    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:

        async def loops(url: str) -> Mapping[str, Any]:
            answer = await client.get(f"{url}/health")
            assert answer.status_code == 200, answer.text
            found: Mapping[str, Any] = answer.json()["loops"]
            assert tuple(found) == LOOPS
            return found

        async def leaders(loop: str) -> list[str]:
            """Those who run a loop and have done so with success."""
            known = {url: (await loops(url))[loop] for url in running}
            return [url for url, status in known.items() if status["leader"] and status["last_success"]]

        async def all_led() -> bool:
            return all([len(await leaders(loop)) == 1 for loop in LOOPS])

        while running:
            await wait_until(all_led, seconds=30, what="one leader of each loop")
            [leader] = await leaders("scheduler")
            metrics = (await client.get(f"{leader}/metrics")).text
            assert 'prefect_server_loop_leader{loop="scheduler"} 1.0' in metrics
            assert "process_resident_memory_bytes" in metrics
            await running.pop(leader).stop(signal.SIGKILL)
