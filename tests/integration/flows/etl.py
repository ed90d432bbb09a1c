"""A flow with what real flows have: a parameter, a mapped task, a task that fails once, a schedule, logs.

As a script it registers itself: `etl.py PROJECT` prints the flow's id.
"""

import sys
from datetime import timedelta

import pendulum
import prefect
from prefect import Flow, Parameter, task, unmapped
from prefect.schedules import IntervalSchedule


@task
def numbers(count):
    return list(range(count))


@task(max_retries=1, retry_delay=timedelta(seconds=1))
def factor():
    if prefect.context.task_run_count == 1:
        raise ValueError("the first attempt fails")
    return 10


@task(tags=["heavy"])
def scale(number, by):
    prefect.context.logger.info("scaling %s by %s", number, by)
    return number * by


@task
def total(scaled):
    prefect.context.logger.warning("the total is %s", sum(scaled))
    return sum(scaled)


every_minute = IntervalSchedule(start_date=pendulum.now("UTC").add(seconds=5), interval=timedelta(minutes=1))

with Flow("etl", schedule=every_minute) as flow:
    count = Parameter("count", default=2)
    total(scale.map(numbers(count), by=unmapped(factor())))


if __name__ == "__main__":
    print(flow.register(project_name=sys.argv[1], no_url=True))
