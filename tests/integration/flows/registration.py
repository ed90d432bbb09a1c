"""Registers flows in every way a script can. `registration.py PROJECT` prints the ids as JSON."""

import json
import sys

from prefect import Client, Flow, Parameter, task
from prefect.storage import Local


@task(tags=["a", "b"])
def first(x):
    return x


@task(name="second task")
def second(x, y):
    return x + y


def build(name, more=0):
    with Flow(name, storage=Local()) as flow:
        one = first(Parameter("x", default=1))
        second(one, 5)
        for _ in range(more):
            first(one)
    return flow


if __name__ == "__main__":
    project = sys.argv[1]

    def register(flow, **options):
        return flow.register(project_name=project, no_url=True, **options)

    big = build("big", more=600)
    ids = {
        "compressed": register(build("compressed")),
        "plain": Client().register(build("plain"), project_name=project, compressed=False, no_url=True),
        "versions": [register(build("versions")) for _ in range(2)],
        "idempotent": [register(build("idempotent"), idempotency_key=key) for key in ("a", "a", "b")],
        "big": register(big),
        "big_tasks": len(big.tasks),
        "big_edges": len(big.edges),
    }
    print(json.dumps(ids))
