"""A flow of which one task fails, so that another never starts. `failing.py PROJECT` prints its id."""

import sys

from prefect import Flow, task


@task
def good():
    return 1


@task(task_run_name="broken by {number}")
def bad(number):
    raise RuntimeError(f"it broke at {number}")


@task
def downstream(result):
    return result


with Flow("failing") as flow:
    downstream(bad(good()))


if __name__ == "__main__":
    print(flow.register(project_name=sys.argv[1], no_url=True))
