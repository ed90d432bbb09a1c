"""Runs that come to a halt in this process, for an agent to go on with. `reruns.py PROJECT FOLDER` prints their ids.

The folder has results; a file `repaired` in it lets the broken task succeed.
"""

import json
import sys
from datetime import timedelta
from pathlib import Path

import prefect
from prefect import Client, Flow, Parameter, task
from prefect.backend.execution import execute_flow_run
from prefect.engine.results import LocalResult
from prefect.triggers import manual_only
from prefect.utilities.tasks import pause_task


@task
def first():
    return 1


@task(trigger=manual_only)
def approval(result):
    return result + 1


@task
def hold(result):
    pause_task("somebody should look at this")
    return result + 10


@task
def last(one, two=None):
    prefect.context.logger.info("last got %s and %s", one, two)


@task
def other():
    return 0


@task
def broken(result, folder):
    if not (Path(folder) / "repaired").exists():
        raise ValueError("not repaired yet")
    return result + 100


@task(max_retries=1, retry_delay=timedelta(hours=1))
def later():
    if prefect.context.task_run_count == 1:
        raise ValueError("better in an hour")


def main(project, folder):
    with Flow("paused") as paused:
        start = first()
        last(approval(start), hold(start))

    with Flow("failed") as failed:
        last(broken(first(), Parameter("folder")))
        other()

    with Flow("late") as late:
        last(later())

    client = Client()

    def register(flow):
        flow.result = LocalResult(dir=folder)
        return flow.register(project_name=project, no_url=True)

    def run(flow, flow_id, **parameters):
        run_id = client.create_flow_run(flow_id=flow_id, parameters=parameters)
        execute_flow_run(run_id, flow=flow)
        return run_id

    failed_id, paused_id, late_id = register(failed), register(paused), register(late)
    told = {
        "paused": run(paused, paused_id),
        "failed": run(failed, failed_id, folder=folder),
        "edited": run(failed, failed_id, folder=folder),
        "late": run(late, late_id),
        "queued": client.create_flow_run(flow_id=failed_id, parameters={"folder": folder}),
        "failed flow": failed_id,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
