"""A task mapped over many items, run in this process. `mapped.py PROJECT COUNT` prints ids and the result as JSON."""

import json
import sys

from prefect import Client, Flow, task
from prefect.backend import FlowRunView
from prefect.backend.execution import execute_flow_run
from prefect.executors import LocalDaskExecutor
from prefect.utilities.logging import get_logger


@task
def numbers(count):
    return list(range(count))


@task(checkpoint=False)
def double(number):
    return number * 2


@task
def total(doubled):
    return sum(doubled)


def main(project, count):
    executor = LocalDaskExecutor(scheduler="threads", num_workers=4)
    with Flow("mapped", executor=executor) as flow:
        parent = double.map(numbers(count))
        result = total(parent)
    flow_id = flow.register(project_name=project, no_url=True)
    run_id = Client().create_flow_run(flow_id=flow_id)
    # Each child has two lines of its own, which nobody would read here.
    get_logger("CloudTaskRunner").setLevel("WARNING")
    view = execute_flow_run(run_id, flow=flow)
    mapped = view.get_task_run(task_slug=parent.slug)
    told = {
        "run_id": run_id,
        "parent_id": mapped.task_run_id,
        "task_id": mapped.task_id,
        "total": FlowRunView.from_flow_run_id(run_id).get_task_run(task_slug=result.slug).get_result(),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
