"""A flow that would take five minutes, for tests that end it earlier. `patient.py PROJECT` prints its id."""

import sys
import time

from prefect import Flow, task


@task
def wait():
    for _ in range(3000):
        time.sleep(0.1)


@task
def never():
    raise AssertionError("nothing runs after a cancellation")


with Flow("patient") as flow:
    never(upstream_tasks=[wait])


if __name__ == "__main__":
    print(flow.register(project_name=sys.argv[1], no_url=True))
