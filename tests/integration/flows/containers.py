"""Flows for containers, storable on this machine. `containers.py PROJECT LABEL IMAGE…` registers one per image and
prints as JSON their ids by image; the image `local` stands for a run config that needs no container.
"""

import json
import sys

from prefect import Flow, task
from prefect.run_configs import DockerRun, LocalRun
from prefect.storage import Local


@task
def say():
    return "done"


if __name__ == "__main__":
    project, label, *images = sys.argv[1:]
    ids = {}
    for image in images:
        config = LocalRun() if image == "local" else DockerRun(image=image, env={"GIVEN": "by the flow"})
        config.labels = {label}
        with Flow(f"in {image}", storage=Local(add_default_labels=False), run_config=config) as flow:
            say()
        ids[image] = flow.register(project_name=project, no_url=True)
    print(json.dumps(ids))
