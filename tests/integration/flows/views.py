"""Looks at flows and runs with the client's views. `views.py PROJECT FOLDER` prints as JSON what it saw.

The folder has results.
"""

import json
import sys
from datetime import timedelta

import pendulum
from prefect import Client, Flow, Parameter, task
from prefect.backend import FlowRunView, FlowView, TaskRunView, TenantView
from prefect.backend.execution import execute_flow_run, execute_flow_run_in_subprocess
from prefect.backend.flow_run import check_for_compatible_agents, stream_flow_run_logs, watch_flow_run
from prefect.engine.results import LocalResult
from prefect.engine.state import Scheduled
from prefect.run_configs import UniversalRun

NOBODY = "00000000-0000-4000-8000-000000000000"


@task
def numbers(count):
    return list(range(count))


@task
def double(number):
    return number * 2


def failure(call, *args, **kwargs):
    """Return the kind and text of the error a call ends with."""
    try:
        call(*args, **kwargs)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def flows(project, flow, flow_id):
    """Look at a flow by each of its names."""
    view = FlowView.from_flow_id(flow_id)
    group_id = Client().graphql({"query": {f'flow_by_pk(id: "{flow_id}")': {"flow_group_id"}}}).data.flow_by_pk
    newer = flow.register(project_name=project, no_url=True)
    group = FlowView.from_flow_group_id(group_id.flow_group_id)
    return {
        "ids": [flow_id, newer],
        "of group": group.flow_id,
        "by either id": [FlowView.from_id(id).flow_id for id in (flow_id, group_id.flow_group_id)],
        "by name": FlowView.from_flow_name(flow.name, project_name=project).flow_id,
        "last updated": FlowView.from_flow_name(flow.name, last_updated=True).flow_id,
        "name": view.name,
        "project": view.project_name,
        "core_version": view.core_version,
        "labels": sorted(view.run_config.labels),
        "tasks": sorted(each.name for each in view.flow.tasks),
        "storage": type(view.storage).__name__,
        "archived": [FlowView.from_flow_id(id).archived for id in (flow_id, newer)],
        "no name": failure(FlowView.from_flow_name, "nobody", project_name=project),
        "no project": failure(FlowView.from_flow_name, flow.name, project_name=None),
        "no id": failure(FlowView.from_id, NOBODY),
    }


def runs(run_id, slug):
    """Look at a finished run and its task runs."""
    run = FlowRunView.from_flow_run_id(run_id, load_static_tasks=True)
    mapped = run.get_task_run(task_slug=slug)
    child = TaskRunView.from_task_slug(slug, run_id, map_index=2)
    return {
        "state": type(run.state).__name__,
        "states": [type(state).__name__ for state in run.get_latest().states],
        "ids": len(run.get_task_run_ids()),
        "all": sorted(f"{each.name or each.task_slug} {each.map_index}" for each in run.get_all_task_runs()),
        "children": [[each.map_index, each.get_result()] for each in mapped.iter_mapped()],
        "result": mapped.get_result(),
        "child": [child.map_index, child.get_result(), type(child.get_latest().state).__name__],
        "by id": run.get_task_run(task_run_id=child.task_run_id).map_index,
        "no run": failure(FlowRunView.from_flow_run_id, NOBODY),
        "no task": failure(TaskRunView.from_task_slug, "nobody-1", run_id),
        "no task run": failure(TaskRunView.from_task_run_id, NOBODY),
        "watched": [log.message for log in watch_flow_run(run_id)],
    }


def main(project, folder):
    tenant = TenantView.from_current_tenant()
    config = UniversalRun(labels=[project], env={"GIVEN": "by the run"})
    with Flow(f"looked at in {project}", result=LocalResult(dir=folder), run_config=config) as flow:
        doubled = double.map(numbers(Parameter("count", default=3)))
    client = Client()
    flow_id = flow.register(project_name=project, no_url=True)

    run_id = client.create_flow_run(flow_id=flow_id, labels=[project])
    execute_flow_run(run_id, flow=flow)
    told = {"runs": runs(run_id, doubled.slug)}

    # The start that counts is that of the newest Scheduled state, not the one the run was made with.
    late = client.create_flow_run(
        flow_id=flow_id, run_config=config, scheduled_start_time=pendulum.now("UTC").add(hours=1)
    )
    client.set_flow_run_state(late, state=Scheduled("now, after all"))
    told["subprocess"] = {"run_id": late, "state": type(execute_flow_run_in_subprocess(late).state).__name__}
    told["executed twice"] = failure(execute_flow_run_in_subprocess, late)
    stream_flow_run_logs(late, max_duration=timedelta(minutes=1))

    told["agents"] = [check_for_compatible_agents(labels) for labels in ([project], [f"nobody's {project}"])]
    told["flows"] = flows(project, flow, flow_id)
    told["tenant"] = [tenant.tenant_id == client.tenant_id, tenant.slug, tenant.name]
    told["no tenant"] = failure(TenantView.from_tenant_id, NOBODY)
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
