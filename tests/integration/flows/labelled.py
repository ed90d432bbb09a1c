"""A flow that wants an agent with certain labels. `labelled.py PROJECT NAME LABEL…` prints its id."""

import sys

from prefect import Flow, task
from prefect.run_configs import LocalRun
from prefect.storage import Local


@task
def say():
    return "done"


if __name__ == "__main__":
    project, name, *labels = sys.argv[1:]
    # Without its default label, which is the machine's name.
    storage = Local(add_default_labels=False)
    with Flow(name, storage=storage, run_config=LocalRun(labels=labels)) as flow:
        say()
    print(flow.register(project_name=project, no_url=True))
