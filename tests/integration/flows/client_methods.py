"""Calls what operations.py leaves of the client's methods. `client_methods.py PROJECT FLOW_ID` prints JSON."""

import json
import sys
from datetime import UTC, datetime, timedelta

import prefect
from prefect import Client, Flow
from prefect.artifacts import create_link, create_markdown, delete_artifact, update_link, update_markdown
from prefect.backend import delete_key, get_key_value, list_keys, set_key_value
from prefect.backend.execution import execute_flow_run
from prefect.client import Secret
from prefect.engine.cloud import CloudFlowRunner
from prefect.engine.state import Cached, Failed, Retrying, Running
from prefect.exceptions import VersionLockMismatchSignal


def failure(call, *args, **kwargs):
    """Return the kind and text of the error a call ends with."""
    try:
        call(*args, **kwargs)
    except (Exception, VersionLockMismatchSignal) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def utc_now():
    """Return the time without a zone, as the client writes it."""
    return datetime.now(UTC).replace(tzinfo=None)


def tenants(client):
    made = client.create_tenant(name="A Tenant of Mine")
    available = client.get_available_tenants()
    told = {
        "made": made,
        "slug": [each["slug"] for each in available if each["id"] == made],
        "in order": [each["slug"] for each in available] == sorted(each["slug"] for each in available),
        "again": failure(client.create_tenant, name="A Tenant of Mine"),
        "bad slug": failure(client.create_tenant, name="x", slug="Not A Slug"),
        "default": client.get_default_tenant_slug(),
        "url": client.get_cloud_url("flow-run", "1234"),
    }
    other = Client()
    other.tenant_id = made
    project_id = other.create_project("of the other tenant")
    told["project"] = project_id
    told["same project"] = other.create_project("of the other tenant") == project_id
    told["other slug"] = other.get_default_tenant_slug()
    told["deleted"] = other.delete_project("of the other tenant")
    told["deleted twice"] = failure(other.delete_project, "of the other tenant")
    client.graphql(f'mutation {{ delete_tenant(input: {{ tenant_id: "{made}", confirm: true }}) {{ success }} }}')
    return told


def states(client, flow_id):
    """Write and read states of a run and one of its tasks; every answer is a state of the client's."""
    run_id = client.create_flow_run(flow_id=flow_id)
    client.set_flow_run_state(run_id, state=Running())
    [task_run, *_] = client.get_flow_run_info(run_id).task_runs
    retrying = Retrying(run_count=3)
    client.set_task_run_state(task_run_id=task_run.id, state=retrying)
    read = client.get_task_run_state(task_run.id)
    cached = Cached(message="kept", cached_parameters={"x": 1}, cached_result_expiration=utc_now() + timedelta(hours=1))
    client.set_task_run_state(task_run_id=task_run.id, state=cached)
    since = utc_now() - timedelta(minutes=1)
    found = client.get_latest_cached_states(task_id=task_run.task_id, cache_key=None, created_after=since)
    told = {
        "run": type(client.get_flow_run_state(run_id)).__name__,
        "retrying": [type(read).__name__, read.run_count, read.start_time is not None],
        "cached": [[state.message, dict(state.cached_parameters)] for state in found],
        "not cached": client.get_latest_cached_states(task_id=task_run.task_id, cache_key="no", created_after=since),
        "too late": client.get_latest_cached_states(
            task_id=task_run.task_id, cache_key=None, created_after=utc_now() + timedelta(minutes=1)
        ),
        "state of nobody": failure(client.get_task_run_state, "00000000-0000-4000-8000-000000000000"),
    }
    with prefect.context(task_run_id=task_run.id, running_with_backend=True):
        link, text, gone = create_link("http://a.example"), create_markdown("# one"), create_link("http://gone.example")
        update_link(link, "http://b.example")
        update_markdown(text, "# two")
        delete_artifact(gone)
    told["artifacts"] = [link, text]
    told["artifacts without a run"] = create_link("http://a.example")
    return told


def heartbeats(client, flow_id):
    """Ask as a running flow does whether it is to send heartbeats, before and after they are switched off."""
    run_id = client.create_flow_run(flow_id=flow_id)
    runner = CloudFlowRunner(flow=Flow("any"))
    told = []
    for switch in ("enable", "disable", "enable"):
        client.graphql(f'mutation {{ {switch}_flow_heartbeat(input: {{ flow_id: "{flow_id}" }}) {{ success }} }}')
        with prefect.context(flow_run_id=run_id):
            told.append(runner._heartbeat())
    return told


def locked(client, flow_id):
    """Write states of runs whose flow group locks versions, with right and wrong ones, and have the engine run one."""
    found = client.graphql(f'query {{ flow_by_pk(id: "{flow_id}") {{ flow_group_id }} }}').data.flow_by_pk

    def lock(locking):
        settings = {"version_locking_enabled": locking}
        client.graphql(
            "mutation($input: set_flow_group_settings_input!) { set_flow_group_settings(input: $input) { success } }",
            variables={"input": {"flow_group_id": found.flow_group_id, "settings": settings}},
        )

    lock(True)
    run_id = client.create_flow_run(flow_id=flow_id)
    told = {"wrong": failure(client.set_flow_run_state, run_id, state=Running(), version=7)}
    client.set_flow_run_state(run_id, state=Running(), version=1)
    told["stale"] = failure(client.set_flow_run_state, run_id, state=Running(), version=1)
    [task_run] = client.get_flow_run_info(run_id).task_runs
    told["task"] = failure(client.set_task_run_state, task_run_id=task_run.id, state=Running(), version=4)
    client.set_task_run_state(task_run_id=task_run.id, state=Running(), version=1)
    client.set_flow_run_state(run_id, state=Failed("no version"))
    told["state"] = type(client.get_flow_run_state(run_id)).__name__
    told["engine"] = type(execute_flow_run(client.create_flow_run(flow_id=flow_id)).state).__name__
    lock(False)
    return told


def cloud_only(client):
    """Call what only Prefect Cloud has."""
    calls = {
        "set_secret": lambda: client.set_secret("name", "value"),
        "get_task_tag_limit": lambda: client.get_task_tag_limit("tag"),
        "update_task_tag_limit": lambda: client.update_task_tag_limit("tag", 3),
        "delete_task_tag_limit": lambda: client.delete_task_tag_limit("00000000-0000-4000-8000-000000000000"),
        "switch_tenant": lambda: client.switch_tenant(tenant_slug="default"),
        "set_key_value": lambda: set_key_value("key", 1),
        "get_key_value": lambda: get_key_value("key"),
        "delete_key": lambda: delete_key("key"),
        "list_keys": list_keys,
        "Secret.get": lambda: Secret("name").get(),
    }
    return {name: failure(call) for name, call in calls.items()}


def transport(client):
    """Send documents by hand."""
    told = {
        "graphql": dict(client.graphql("query { hello }").data),
        "post": client.post("", params={"query": "query { hello }", "variables": "null"}),
        "variables": client.graphql(
            "query($slug: String) { tenant(where: { slug: { _eq: $slug } }) { slug } }", variables={"slug": "default"}
        )
        .data.tenant[0]
        .slug,
        "unknown field": failure(client.graphql, "query { nonsense }"),
        "get": failure(client.get, "health"),
    }
    client.attach_headers({"X-PREFECT-AGENT-ID": "no-uuid", "X-Anything": "else"})
    told["headers"] = dict(client.graphql("query { hello }").data)
    return told


def main(project, flow_id):
    client = Client()
    told = {
        "transport": transport(Client()),
        "tenants": tenants(client),
        "states": states(client, flow_id),
        "heartbeats": heartbeats(client, flow_id),
        "locked": locked(client, flow_id),
        "cloud only": cloud_only(client),
    }
    client.api_key = "a key of mine"
    client.save_auth_to_disk()
    told["key"] = client.load_auth_from_disk()["api_key"]
    # From here on every request carries the key, which the server has no use for.
    told["with a key"] = Client().create_project(project)
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
