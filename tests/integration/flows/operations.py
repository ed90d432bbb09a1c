"""Calls the client's own methods and tells what came back. `operations.py FLOW_ID` prints one JSON object."""

import json
import sys

import pendulum
import prefect
from prefect import Client
from prefect.backend import FlowRunView, FlowView, TaskRunView, TenantView
from prefect.backend.artifacts import create_link_artifact, create_markdown_artifact, update_markdown_artifact
from prefect.engine.state import Failed, Running, Scheduled, Submitted, Success
from prefect.exceptions import ClientError, ObjectNotFoundError

NOBODY = "00000000-0000-4000-8000-000000000000"


def failure(call, *args, **kwargs):
    """Return the kind and text of the error a call ends with."""
    try:
        call(*args, **kwargs)
    except (ClientError, ObjectNotFoundError) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def main(flow_id):
    client = Client()
    told = {"tenant_id": client.tenant_id, "tenant_slug": TenantView.from_tenant_id(client.tenant_id).slug}

    in_an_hour = pendulum.now("UTC").add(hours=1)
    run_id = client.create_flow_run(
        flow_id=flow_id,
        idempotency_key="once",
        parameters={"x": 7},
        run_name="named",
        labels=["b", "a"],
        context={"k": "v"},
        scheduled_start_time=in_an_hour,
    )
    told["run_id"] = run_id
    told["same_key"] = client.create_flow_run(flow_id=flow_id, idempotency_key="once", parameters={"x": 8})
    told["other_key"] = client.create_flow_run(flow_id=flow_id, idempotency_key="twice")
    told["no_key"] = client.create_flow_run(flow_id=flow_id)

    info = client.get_flow_run_info(run_id)
    told["info"] = {
        "name": info.name,
        "version": info.version,
        "state": type(info.state).__name__,
        "parameters": dict(info.parameters),
        "context": dict(info.context),
        "project": info.project.name,
        "on_time": info.scheduled_start_time == in_an_hour,
        "task_runs": len(info.task_runs),
    }
    client.set_flow_run_name(run_id, "renamed")

    agent_id = client.register_agent("LocalAgent", name="an agent", labels=["x"])
    told["agent_ids"] = [agent_id, client.register_agent("LocalAgent", name="an agent", labels=["x"])]

    submitted = Submitted(state=Scheduled())
    client.set_flow_run_state(run_id, state=submitted)
    told["second_submission"] = failure(client.set_flow_run_state, run_id, state=submitted)

    task_run = info.task_runs[0]
    told["task_before_flow"] = failure(
        client.set_task_run_state, task_run_id=task_run.id, version=task_run.version, state=Running()
    )
    client.set_flow_run_state(run_id, version=2, state=Running())
    client.set_task_run_state(task_run_id=task_run.id, version=task_run.version, state=Running())
    client.set_task_run_state(task_run_id=task_run.id, version=None, state=Success(message="well"))
    client.set_task_run_name(task_run.id, "a task run")
    again = client.get_task_run_info(flow_run_id=run_id, task_id=task_run.task_id, map_index=None)
    child = client.get_task_run_info(flow_run_id=run_id, task_id=task_run.task_id, map_index=0)
    told["task_run"] = {"same": again.id == task_run.id, "state": type(again.state).__name__, "version": again.version}
    told["child"] = {"other": child.id != task_run.id, "state": type(child.state).__name__}
    client.update_flow_run_heartbeat(run_id)

    with prefect.context(task_run_id=task_run.id, running_with_backend=True):
        told["artifacts"] = [create_link_artifact("http://example.com"), create_markdown_artifact("# one")]
        update_markdown_artifact(told["artifacts"][1], "# two")
        gone = create_markdown_artifact("# gone")
    client.delete_task_run_artifact(gone)

    client.write_run_logs(
        [
            {"flow_run_id": run_id, "name": "n", "message": "from a script", "level": "WARNING"},
            {"flow_run_id": run_id, "task_run_id": task_run.id, "message": "of a task", "level": "INFO"},
        ]
    )
    client.set_flow_run_state(run_id, state=Failed(message="for a test"))

    view = FlowRunView.from_flow_run_id(run_id)
    told["view"] = {
        "name": view.name,
        "labels": list(view.labels),
        "states": [type(state).__name__ for state in view.states],
        "message": view.state.message,
        "logs": [(log.level, log.message) for log in view.get_logs()],
        "task": TaskRunView.from_task_run_id(task_run.id).name,
        "tasks": len(view.get_all_task_runs()),
        "flow": view.get_flow_metadata().name,
    }
    flow = FlowView.from_flow_id(flow_id)
    by_name = FlowView.from_flow_name(flow.name, project_name=flow.project_name)
    told["flow"] = {"project": flow.project_name, "by_name": by_name.flow_id == flow_id}

    told["cancelled"] = client.cancel_flow_run(told["other_key"])
    told["cancelled_twice"] = client.cancel_flow_run(told["other_key"])
    told["errors"] = {
        "state of nobody": failure(client.get_flow_run_state, NOBODY),
        "info of nobody": failure(client.get_flow_run_info, NOBODY),
        "set nobody": failure(client.set_flow_run_state, NOBODY, state=Success()),
        "cancel nobody": failure(client.cancel_flow_run, NOBODY),
        "run nobody": failure(client.create_flow_run, flow_id=NOBODY),
        "no uuid": failure(client.get_flow_run_info, "not-a-uuid"),
        "project twice": client.create_project(flow.project_name) is not None,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
