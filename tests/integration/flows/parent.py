"""A flow that runs another flow and uses its result, with the client's own tasks. `parent.py PROJECT` prints its id."""

import sys
from datetime import timedelta

from prefect import Flow, Parameter, task
from prefect.tasks.prefect import RenameFlowRun, StartFlowRun, create_flow_run, get_task_run_result, wait_for_flow_run


@task
def make(number):
    return number + 1


@task
def use(number):
    return number * 100


if __name__ == "__main__":
    project = sys.argv[1]

    with Flow("child") as child:
        made = make(Parameter("number", default=7))
    child.register(project_name=project, no_url=True)

    at_once = timedelta(seconds=3)  # as near as it lets one come
    start = StartFlowRun(
        flow_name="child", project_name=project, run_name="second kid", wait=True, poll_interval=at_once
    )
    with Flow("parent") as flow:
        run_id = create_flow_run(flow_name="child", project_name=project, parameters={"number": 41}, run_name="kid")
        finished = wait_for_flow_run(run_id, stream_logs=True, raise_final_state=True)
        used = use(get_task_run_result(run_id, made.slug, poll_time=1, upstream_tasks=[finished]))
        started = start(upstream_tasks=[used])
        RenameFlowRun()(flow_run_id=run_id, flow_run_name="grown up", upstream_tasks=[started])
    print(flow.register(project_name=project, no_url=True))
