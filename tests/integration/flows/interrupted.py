"""A flow whose task hangs at its first attempt and is quick at its second. `interrupted.py PROJECT` prints its id."""

import sys
import time
from datetime import timedelta

import prefect
from prefect import Flow, task


@task(max_retries=1, retry_delay=timedelta(seconds=0))
def work():
    while prefect.context.task_run_count == 1:
        time.sleep(0.1)
    return "done"


@task
def after(result):
    prefect.context.logger.info("after: %s", result)


with Flow("interrupted") as flow:
    after(work())


if __name__ == "__main__":
    print(flow.register(project_name=sys.argv[1], no_url=True))
