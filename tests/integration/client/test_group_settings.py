"""What settings of a flow group do to the real client (actions.md §3.7, §9.4)."""

from tests.support.prefect_client import BEATING_THREAD, PrefectClient
from tests.support.runs import history, task_histories
from tests.support.whole_server import Server

LOCKED = "VersionLockMismatchSignal"


async def test_versions_are_locked_and_heartbeats_are_off(server: Server, client: PrefectClient, project: str) -> None:
    told = await client.answers("group_settings.py", project, env=BEATING_THREAD, seconds=90)

    # A whole run with retries and mapped children: every version that the client sends is the true one.
    assert await history(server, told["run_id"]) == ["Scheduled", "Running", "Success"]
    assert await task_histories(server, told["run_id"]) == {
        "flaky": ["Pending", "Running", "Failed", "Retrying", "Running", "Success"],
        "child": ["Pending", "Mapped"],
        "child[0]": ["Pending", "Running", "Success"],
        "child[1]": ["Pending", "Running", "Success"],
    }

    # What comes for a version that is past is refused by the signal that the client handles, and not stored: a second
    # process stops if the task is Running, and adopts the state it is in otherwise.
    assert told["flow"] == ["Submitted", LOCKED, "Running", LOCKED]
    assert await history(server, told["other_id"]) == ["Scheduled", "Submitted", "Running"]
    assert told["task"] == ["Running", "ENDRUN Running", LOCKED, "Success", "Success"]
    histories = await task_histories(server, told["other_id"])
    assert sorted(histories.values()) == [["Pending"], ["Pending", "Running", "Success"]]

    # The switch reaches runs of the flow, and those of versions that are registered later.
    assert told["beats"] == [True, False, False]
