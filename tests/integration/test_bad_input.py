"""Mistakes of a client, sent to the real server: a clear error of the documented shape, never a 5xx, nothing changed.

Statuses: actions.md §0.3. Resolver errors answer 200, a document or body that cannot be read 400, one too large 413.
"""

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from tests.support.whole_server import Server

NOBODY = "00000000-0000-4000-8000-000000000000"
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A request that is wrong, and what must be said of it."""

    body: bytes
    status: int
    says: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)


def sent(query: str, variables: object = None) -> bytes:
    """Return a body as the 1.4.1 client spells it."""
    return json.dumps({"query": query, "variables": json.dumps(variables)}).encode()


def mutation(field: str, selection: str = "id", **input: Any) -> bytes:
    """Return the body of a mutation with one `input`."""
    document = f"mutation($input: {field}_input!) {{ {field}(input: $input) {{ {selection} }} }}"
    return sent(document, {"input": input})


def flow_run_state(run_id: str, state: object) -> bytes:
    """Return the body of a state write."""
    return mutation(
        "set_flow_run_states", "states { id }", states=[{"flow_run_id": run_id, "state": state, "version": None}]
    )


def compressed(document: bytes) -> str:
    """Return a flow document as the client sends it, whatever is in it."""
    return base64.b64encode(gzip.compress(document, mtime=0)).decode()


def new_flow(serialized_flow: str) -> bytes:
    """Return the body of a registration."""
    return mutation("create_flow_from_compressed_string", project_id="PROJECT", serialized_flow=serialized_flow)


MISTAKES = {
    # ids that name nothing
    "state of nobody": Mistake(
        body=flow_run_state(NOBODY, {"type": "Success"}), status=200, says="State update failed"
    ),
    "cancel nobody": Mistake(body=mutation("cancel_flow_run", "state", flow_run_id=NOBODY), status=200, says=NOBODY),
    "run of no flow": Mistake(body=mutation("create_flow_run", flow_id=NOBODY), status=200, says=NOBODY),
    "run of no version group": Mistake(body=mutation("create_flow_run", version_group_id="no"), status=200),
    "run of nothing": Mistake(body=mutation("create_flow_run"), status=200),
    "task run of nobody": Mistake(
        body=mutation("get_or_create_task_run", flow_run_id=NOBODY, task_id=NOBODY), status=200, says="Invalid ID"
    ),
    "project of no tenant": Mistake(body=mutation("create_project", tenant_id=NOBODY, name="x"), status=200),
    "flow of no project": Mistake(
        body=mutation("create_flow", project_id=NOBODY, serialized_flow={"name": "x"}), status=200
    ),
    "artifact of nobody": Mistake(
        body=mutation("create_task_run_artifact", task_run_id=NOBODY, kind="link", data={}),
        status=200,
        says="not found",
    ),
    "hook of no tenant": Mistake(
        body=mutation(
            "create_cloud_hook",
            tenant_id=NOBODY,
            type="WEBHOOK",
            states=["Failed"],
            config={"url": "http://localhost"},
        ),
        status=200,
        says="Foreign key violation.",
    ),
    # ids that are no ids: the service a scalar belongs to reads it, so it is an error of one field
    "no UUID in a variable": Mistake(
        body=mutation("cancel_flow_run", "state", flow_run_id="x"), status=200, says="Could not parse UUID"
    ),
    "no UUID in a literal": Mistake(
        body=sent('mutation { cancel_flow_run(input: { flow_run_id: "x" }) { state } }'),
        status=200,
        says="Could not parse UUID",
    ),
    "no UUID in a query": Mistake(
        body=sent('query { flow_run(where: { id: { _eq: "x" } }) { id } }'), status=200, says="invalid input"
    ),
    "no UUID by key": Mistake(body=sent('query { flow_run_by_pk(id: "x") { id } }'), status=200, says="invalid input"),
    # bodies and documents that cannot be read
    "no JSON": Mistake(body=b'{"query": "query { hello', status=400),
    "no object": Mistake(body=b'"hello"', status=400),
    "nothing": Mistake(body=b"", status=400),
    "no UTF-8": Mistake(body=b'{"query": "\xff\xfe"}', status=400),
    "an endless list": Mistake(body=b"[" * 100_000, status=400),
    "no query": Mistake(body=b'{"variables": "null"}', status=400),
    "a query that is a number": Mistake(body=b'{"query": 1}', status=400),
    "variables that are no JSON": Mistake(
        body=json.dumps({"query": "{ hello }", "variables": "{"}).encode(), status=400
    ),
    "variables that are a list": Mistake(
        body=json.dumps({"query": "{ hello }", "variables": "[1]"}).encode(), status=400
    ),
    "a form": Mistake(
        body=b"query=%7Bhello%7D", status=415, headers={"Content-Type": "application/x-www-form-urlencoded"}
    ),
    "no GraphQL": Mistake(body=sent("query {"), status=400),
    "an unknown field": Mistake(body=sent("query { flow { nonsense } }"), status=400, says="nonsense"),
    "an unknown root": Mistake(body=sent("mutation { delete_all { id } }"), status=400, says="delete_all"),
    "a table mutation": Mistake(body=sent("mutation { delete_log(where: {}) { affected_rows } }"), status=400),
    "a missing variable": Mistake(
        body=sent("mutation($input: create_project_input!) { create_project(input: $input) { id } }"), status=400
    ),
    "a variable of another type": Mistake(body=mutation("create_project", tenant_id=1, name=[]), status=400),
    "an unknown log level": Mistake(
        body=mutation("write_run_logs", "success", logs=[{"flow_run_id": NOBODY, "level": "LOUD"}]),
        status=400,
        says="LOUD",
    ),
    "too deep": Mistake(body=sent("query " + "{ flow_run { flow " * 8 + "{ id }" + "} }" * 8), status=400),
    "too many nested selections": Mistake(body=sent("query " + "{ flow " * 5_000 + "}" * 5_000), status=400),
    "too large": Mistake(body=sent("query { hello } #" + " " * 17 * 1024 * 1024), status=413),
    # values that cannot be used
    "no state": Mistake(body=flow_run_state("RUN", "Success"), status=200),
    "a state without a type": Mistake(body=flow_run_state("RUN", {"message": "x"}), status=200),
    "an unknown state": Mistake(body=flow_run_state("RUN", {"type": "Asleep"}), status=200, says="Asleep"),
    "a state too large": Mistake(
        body=flow_run_state("RUN", {"type": "Success", "message": "x" * 1_000_001}), status=200, says="too large"
    ),
    "a name that is taken": Mistake(
        body=mutation("create_project", tenant_id="TENANT", name="NAME"), status=200, says="Uniqueness violation."
    ),
    "a NUL in a name": Mistake(body=mutation("create_project", tenant_id="TENANT", name="a\0b"), status=200),
    "half a character in a name": Mistake(
        body=mutation("create_project", tenant_id="TENANT", name="a\ud800b"), status=200
    ),
    "a NUL in a query": Mistake(body=sent('query { project(where: { name: { _eq: "\\u0000" } }) { id } }'), status=200),
    "half a character in a query": Mistake(
        body=sent('query { project(where: { name: { _eq: "\ud800" } }) { id } }'), status=400
    ),
    "a flow that is no base64": Mistake(body=new_flow("%%%"), status=200),
    "a flow that is no gzip": Mistake(body=new_flow(base64.b64encode(b"hello").decode()), status=200),
    "a flow that is cut off": Mistake(body=new_flow(compressed(b'{"name": "x"}' * 99)[:-40]), status=200),
    "a flow that is no JSON": Mistake(body=new_flow(compressed(b"{")), status=200),
    "a flow that is no object": Mistake(body=new_flow(compressed(b"[]")), status=200),
    "a flow without a name": Mistake(body=new_flow(compressed(b"{}")), status=200),
    "a flow with null tasks": Mistake(body=new_flow(compressed(b'{"name": "x", "tasks": null}')), status=200),
    "a flow with an edge to nowhere": Mistake(
        body=new_flow(
            compressed(b'{"name": "x", "tasks": [], "edges": [{"upstream_task": "a", "downstream_task": "b"}]}')
        ),
        status=200,
    ),
    "a flow of the past": Mistake(
        body=new_flow(compressed(b'{"name": "x", "__version__": "0.5.0"}')), status=200, says="0.5.0"
    ),
    "a hook without a URL": Mistake(
        body=mutation("create_cloud_hook", tenant_id="TENANT", type="WEBHOOK", states=["Failed"], config={}),
        status=200,
        says="url",
    ),
    "an empty name of a run": Mistake(
        body=mutation("set_flow_run_name", "success", flow_run_id="RUN", name=""), status=200
    ),
    "a tenant with a bad slug": Mistake(body=mutation("create_tenant", name="x", slug="Not A Slug"), status=200),
    "labels that are no list of strings": Mistake(
        body=mutation("set_flow_run_labels", "success", flow_run_id="RUN", labels=[1]), status=400
    ),
    "a schedule of seconds": Mistake(
        body=mutation("set_flow_group_schedule", "success", flow_group_id="GROUP", interval_clocks=[{"interval": 5}]),
        status=200,
    ),
    "a bad cron": Mistake(
        body=mutation("set_flow_group_schedule", "success", flow_group_id="GROUP", cron_clocks=[{"cron": "a b c"}]),
        status=200,
    ),
    "a number that fits nowhere": Mistake(
        body=sent("query { flow_run(where: { version: { _eq: 99999999999999999999 } }) { id } }"), status=400
    ),
    "a null where none may be": Mistake(
        body=mutation("write_run_logs", "success", logs=[{"flow_run_id": None}]), status=400
    ),
}

EVERYTHING = """
SELECT (SELECT count(*) FROM tenant), (SELECT count(*) FROM project), (SELECT count(*) FROM flow),
       (SELECT count(*) FROM flow_group), (SELECT count(*) FROM task), (SELECT count(*) FROM edge),
       (SELECT count(*) FROM cloud_hook), (SELECT count(*) FROM agent), (SELECT count(*) FROM agent_config),
       (SELECT count(*) FROM log), (SELECT count(*) FROM task_run_artifact), (SELECT count(*) FROM message),
       (SELECT count(*) FROM flow_run WHERE NOT auto_scheduled),
       (SELECT count(*) FROM flow_run_state JOIN flow_run r ON r.id = flow_run_id WHERE NOT auto_scheduled),
       (SELECT md5(string_agg(r::text, '' ORDER BY id)) FROM flow_run r WHERE id = $1),
       (SELECT md5(string_agg(g::text, '' ORDER BY id)) FROM flow_group g WHERE id = $2)
"""


@pytest.fixture
async def names(server: Server, project: str) -> dict[str, str]:
    """A tenant, a project, a flow group and a run that mistakes can be made with."""
    [tenant] = await server.rows("SELECT id::text FROM tenant ORDER BY created LIMIT 1")
    [row] = await server.rows("SELECT id::text FROM project WHERE name = $1", project)
    flow = await server.mutate("create_flow", project_id=row["id"], serialized_flow={"name": f"flow-{uuid4().hex}"})
    run = await server.mutate("create_flow_run", flow_id=flow["id"])
    [group] = await server.rows("SELECT flow_group_id::text AS id FROM flow WHERE id::text = $1", flow["id"])
    return {"TENANT": tenant["id"], "PROJECT": row["id"], "NAME": project, "RUN": run["id"], "GROUP": group["id"]}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
async def test_a_mistake_is_answered_clearly(server: Server, names: dict[str, str], mistake: Mistake) -> None:
    """The answer is JSON with `errors`, says what is wrong, shows no internals; the database is as before."""
    body = mistake.body
    for name, value in names.items():
        body = body.replace(f'\\"{name}\\"'.encode(), f'\\"{value}\\"'.encode())
    known = await server.rows("SELECT $1::uuid, $2::uuid", names["RUN"], names["GROUP"])
    before = await server.rows(EVERYTHING, *known[0])

    response = await server.http.post("/", content=body, headers=dict(mistake.headers))

    answer = response.json()
    assert response.status_code == mistake.status, answer
    assert answer["errors"]
    for error in answer["errors"]:
        assert error["message"]
        assert isinstance(error.get("extensions", {}), dict)
        assert "API_ERROR" not in json.dumps(error), "clients would send it again"
        assert "internal error" not in error["message"].lower(), "a client's mistake is not ours"
    assert mistake.says.lower() in json.dumps(answer["errors"]).lower()
    assert not any(trace in response.text for trace in ("Traceback", 'File \\"', "asyncpg", "site-packages"))
    assert not any((answer.get("data") or {}).values())
    assert await server.rows(EVERYTHING, *known[0]) == before


async def test_success_false_is_not_an_error(server: Server) -> None:
    """§0.4: updates and deletes of what is not there say so quietly."""
    for field_name, key in (
        ("delete_flow", "flow_id"),
        ("archive_flow", "flow_id"),
        ("delete_flow_run", "flow_run_id"),
        ("delete_project", "project_id"),
        ("set_schedule_inactive", "flow_id"),
        ("delete_agent", "agent_id"),
        ("mark_message_as_read", "message_id"),
        ("delete_cloud_hook", "cloud_hook_id"),
    ):
        payload = await server.mutate(field_name, select="success", **{key: NOBODY})
        assert payload == {"success": False}, field_name
    payload = await server.mutate("test_cloud_hook", select="success error", cloud_hook_id=NOBODY)
    assert payload["success"] is False
    assert "not found" in payload["error"]
