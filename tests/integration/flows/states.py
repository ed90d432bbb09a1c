"""Flows that go through every state a task can bring about, run in this process. `states.py PROJECT FOLDER` prints
the ids of their runs as JSON; the folder has results.
"""

import json
import sys
import time
from datetime import timedelta

import pendulum
import prefect
from prefect import Client, Flow, Parameter, case, task, unmapped
from prefect.backend.execution import execute_flow_run
from prefect.engine import signals
from prefect.engine.cache_validators import partial_inputs_only
from prefect.engine.results import LocalResult
from prefect.engine.signals import LOOP
from prefect.tasks.control_flow import merge
from prefect.tasks.prefect import CancelFlowRun, create_flow_run
from prefect.triggers import all_finished, any_failed
from prefect.utilities.edges import flatten

at_once = timedelta(seconds=0)


@task(max_retries=2, retry_delay=at_once)
def flaky(number):
    if prefect.context.task_run_count <= 2:
        raise ValueError(f"attempt {prefect.context.task_run_count} fails")
    return number


@task
def asks_again():
    if prefect.context.task_run_count == 1:
        raise signals.RETRY("again, please")


@task(max_retries=1, retry_delay=at_once)
def hopeless():
    raise ValueError("it never works")


@task
def after_hopeless(result):
    return result


@task(trigger=any_failed)
def clean_up(result):
    return "cleaned"


@task
def loop(number):
    count = prefect.context.get("task_loop_count", 1)
    total = prefect.context.get("task_loop_result", 0) + number
    if count < 3:
        raise LOOP(message=f"round {count}", result=total)
    return total


@task
def skips():
    raise signals.SKIP("not today")


@task
def after_skip(result):
    return result


@task(skip_on_upstream_skip=False)
def in_spite_of_skip(result):
    return "ran"


@task
def branch(name):
    return name


@task(timeout=1)
def slow():
    time.sleep(60)


@task
def raises(signal):
    raise getattr(signals, signal)(f"by {signal}")


@task
def items():
    return [1, 2, 3, 4]


@task(task_run_name="times of {item}", max_retries=1, retry_delay=at_once)
def times(item, by):
    if item == 2 and prefect.context.task_run_count == 1:
        raise ValueError("2 fails once")
    if item == 3:
        raise signals.SKIP("3 is skipped")
    if item == 4:
        raise signals.FAIL("4 fails")
    return item * by


@task
def twice(item):
    return [item, item]


@task(trigger=all_finished)
def gather(found):
    return len(found)


hour = timedelta(hours=1)


@task(cache_for=hour)
def kept(x):
    return x


@task(cache_for=hour, cache_validator=partial_inputs_only(["x"]), cache_key="shared key")
def kept_by_key(x, y):
    return x


@task(cache_for=timedelta(microseconds=1))
def stale(x):
    return x


def main(project, folder):
    with Flow("retries") as retries:
        flaky(1)
        asks_again()
        lost = hopeless()
        after_hopeless(lost)
        last = clean_up(lost)
    retries.set_reference_tasks([last])

    with Flow("loops") as loops:
        loop(5)

    with Flow("skips") as skipping:
        skipped = skips()
        after_skip(skipped)
        in_spite_of_skip(skipped)
        which = Parameter("which", default="left")
        with case(which, "left"):
            left = branch("left", task_args={"name": "left"})
        with case(which, "right"):
            right = branch("right", task_args={"name": "right"})
        merge(left, right)

    with Flow("signals") as raising:
        slow()
        for signal in ("FAIL", "SUCCESS", "PAUSE", "TRIGGERFAIL", "VALIDATIONFAIL"):
            raises(signal, task_args={"name": signal})

    with Flow("mapping") as mapping:
        some = items()
        gather(times.map(some, by=unmapped(10)))
        again = twice.map(flatten(twice.map(some)), task_args={"name": "twice again"})
        gather(again, task_args={"name": "gather flat"})

    with Flow("caching") as caching:
        x, y = Parameter("x", default=1), Parameter("y", default=1)
        kept(x)
        kept_by_key(x, y)
        stale(x)

    in_an_hour = pendulum.now("UTC").add(hours=1)
    with Flow("cancels") as cancelling:
        made = create_flow_run(
            flow_name="loops", project_name=project, run_name="not to be", scheduled_start_time=in_an_hour
        )
        CancelFlowRun()(flow_run_id=made)

    client = Client()
    told = {}

    def run(flow, name, flow_id=None, **parameters):
        flow.result = LocalResult(dir=folder)
        flow_id = flow_id or flow.register(project_name=project, no_url=True)
        told[name] = client.create_flow_run(flow_id=flow_id, parameters=parameters)
        execute_flow_run(told[name], flow=flow)
        return flow_id

    for flow in (retries, loops, skipping, raising, mapping, cancelling):
        run(flow, flow.name)
    cached_flow = run(caching, "caching")
    run(caching, "cached", cached_flow, y=2)
    run(caching, "other input", cached_flow, x=2)
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
