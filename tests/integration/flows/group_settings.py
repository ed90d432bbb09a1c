"""What settings of a flow group do to the client: locked versions, no heartbeats.

`group_settings.py PROJECT` prints one JSON object.
"""

import json
import sys
from datetime import timedelta

import prefect
from prefect import Client, Flow, task
from prefect.backend.execution import execute_flow_run
from prefect.engine.cloud import CloudFlowRunner, CloudTaskRunner
from prefect.engine.runner import ENDRUN
from prefect.engine.state import Failed, Pending, Running, Submitted, Success
from prefect.exceptions import ClientError, VersionLockMismatchSignal

NO_HEARTBEATS = "mutation($id: UUID!) { disable_flow_heartbeat(input: { flow_id: $id }) { success } }"
GROUP = "query($id: uuid!) { flow_by_pk(id: $id) { flow_group_id } }"
LOCK = """mutation($id: UUID!) {
  set_flow_group_settings(input: { flow_group_id: $id, settings: "{\\"version_locking_enabled\\": true}" }) { success }
}"""


@task(max_retries=1, retry_delay=timedelta(seconds=0))
def flaky():
    if prefect.context.task_run_count == 1:
        raise ValueError("the first attempt fails")
    return [1, 2]


@task
def child(number):
    return number


def outcome(call, *args, **kwargs):
    """Return what a call ends with: its error's kind, or the kind of state that it returns."""
    try:
        return type(call(*args, **kwargs)).__name__
    except (VersionLockMismatchSignal, ClientError) as error:
        return type(error).__name__


def second_process(run, version):
    """Start a task as another process would that saw this version of its run; return the state that it ends with."""
    with prefect.context(task_run_id=run.id, task_run_version=version):
        runner = CloudTaskRunner(task=child)
        runner.task_run_id = run.id
        try:
            return type(runner.call_runner_target_handlers(Pending(), Running())).__name__
        except ENDRUN as ended:
            return f"ENDRUN {type(ended.state).__name__}"


def beats(client, flow, flow_id):
    """Tell whether a run of the flow would send heartbeats."""
    with prefect.context(flow_run_id=client.create_flow_run(flow_id=flow_id)):
        return CloudFlowRunner(flow=flow)._heartbeat()


def main(project):
    client = Client()
    with Flow("locked versions") as flow:
        child.map(flaky())
    flow_id = flow.register(project_name=project, no_url=True)
    group_id = client.graphql(GROUP, variables={"id": flow_id}).data.flow_by_pk.flow_group_id
    assert client.graphql(LOCK, variables={"id": group_id}).data.set_flow_group_settings.success

    told = {"run_id": client.create_flow_run(flow_id=flow_id)}
    execute_flow_run(told["run_id"], flow=flow)

    told["other_id"] = other = client.create_flow_run(flow_id=flow_id)
    told["flow"] = [
        outcome(client.set_flow_run_state, other, Submitted(), version=1),
        outcome(client.set_flow_run_state, other, Running(), version=1),
        outcome(client.set_flow_run_state, other, Running(), version=2),
        outcome(client.set_flow_run_state, other, Failed(), version=2),
    ]
    run = client.get_flow_run_info(other).task_runs[0]
    told["task"] = [
        second_process(run, 1),
        second_process(run, 1),
        outcome(client.set_task_run_state, run.id, Running(), version=1),
        outcome(client.set_task_run_state, run.id, Success(), version=None),
        second_process(run, 2),
    ]

    told["beats"] = [beats(client, flow, flow_id)]
    assert client.graphql(NO_HEARTBEATS, variables={"id": flow_id}).data.disable_flow_heartbeat.success
    told["beats"] += [beats(client, flow, flow_id)]
    told["beats"] += [beats(client, flow, flow.register(project_name=project, no_url=True))]
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
