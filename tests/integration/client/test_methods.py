"""Methods of the client's Client that no run and no other test calls (client-operations.md §2; actions.md §9)."""

from typing import Any
from uuid import UUID

from tests.support.prefect_client import BEATING_THREAD, PrefectClient
from tests.support.whole_server import Server


async def test_the_clients_other_methods(server: Server, client: PrefectClient, project: str) -> None:
    """Tenants, states, artifacts, keys and plain documents; what only Cloud has is a clean error of the client's."""
    flow_id = (await client.script("labelled.py", project, "any")).split()[-1]
    told = await client.answers("client_methods.py", project, flow_id, env=BEATING_THREAD)
    check_transport(told["transport"])
    check_tenants(told["tenants"])
    check_cloud_only(told["cloud only"])

    states = told["states"]
    assert states["run"] == "Running"
    assert states["retrying"] == ["Retrying", 3, True]
    assert states["cached"] == [["kept", {"x": 1}]]
    assert (states["not cached"], states["too late"]) == ([], [])
    assert states["state of nobody"].startswith("ClientError: ")
    assert states["artifacts without a run"] is None
    artifacts = await server.rows(
        "SELECT a.id::text, a.kind, a.data FROM task_run_artifact a JOIN task_run r ON r.id = a.task_run_id"
        " JOIN flow_run f ON f.id = r.flow_run_id WHERE f.flow_id = $1 ORDER BY a.created",
        UUID(flow_id),
    )
    link, text = states["artifacts"]
    assert [tuple(row.values()) for row in artifacts] == [
        (link, "link", {"link": "http://b.example"}),
        (text, "markdown", {"markdown": "# two"}),
    ]
    # §9.4: a flow asks the server whether it is to send heartbeats.
    assert told["heartbeats"] == [True, False, True]
    # §3.7: what the engine sends is right; what is not is the error that makes it look at the run again.
    locked = told["locked"]
    assert (locked.pop("state"), locked.pop("engine")) == ("Failed", "Success")
    assert locked.keys() == {"wrong", "stale", "task"}
    assert all(error.startswith("VersionLockMismatchSignal: ") for error in locked.values()), locked
    assert told["key"] == "a key of mine"
    assert told["with a key"] == str(await server.value("SELECT id FROM project WHERE name = $1", project))


def check_transport(told: Any) -> None:
    """§1: documents and variables as the client spells them, further headers, and a mistake."""
    assert told["graphql"] == told["headers"] == told["post"]["data"] == {"hello": "👋"}
    assert "errors" not in told["post"]
    assert told["variables"] == "default"
    assert told["get"] == "no error"
    assert told["unknown field"].startswith("ClientError: 400 Client Error")
    assert "Cannot query field 'nonsense'" in told["unknown field"]


def check_tenants(told: Any) -> None:
    """§1.5, T1 to T5: the oldest tenant is the default one; slugs are made from names and are unique."""
    assert told["slug"] == ["a-tenant-of-mine"] == [told["other slug"]]
    assert told["in order"] is True
    assert "'Uniqueness violation.'" in told["again"]
    assert "Invalid tenant slug" in told["bad slug"]
    assert told["default"] == "default"
    assert told["url"].endswith("/default/flow-run/1234")
    assert told["same project"] is True
    assert told["deleted"] is True
    assert told["deleted twice"].startswith("ValueError: Project of the other tenant not found")


def check_cloud_only(told: dict[str, str]) -> None:
    """§9.1: what is not stopped by the client itself is an operation that the server does not know."""
    for name in ("set_secret", "get_task_tag_limit", "update_task_tag_limit", "delete_task_tag_limit"):
        error = told.pop(name)
        assert error.startswith("ClientError: 400 Client Error"), name
        assert "GRAPHQL_VALIDATION_FAILED" in error, name
        assert f"Cannot query field '{name.removeprefix('get_')}'" in " ".join(error.split()), name
    assert told.pop("Secret.get").startswith("ValueError: Local Secret")
    assert told.pop("switch_tenant").startswith("ValueError: ")
    assert all("only supported while using Prefect Cloud" in error for error in told.values()), told
    assert told.keys() == {"set_key_value", "get_key_value", "delete_key", "list_keys"}
