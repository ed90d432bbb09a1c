"""A flow whose task keeps its result for an hour. `cached.py PROJECT FOLDER` prints its id; the folder has results."""

import sys
from datetime import timedelta

from prefect import Flow, Parameter, task
from prefect.engine.cache_validators import all_inputs
from prefect.engine.results import LocalResult

if __name__ == "__main__":
    project, folder = sys.argv[1:]

    @task(cache_for=timedelta(hours=1), cache_validator=all_inputs, cache_key=f"key of {project}")
    def expensive(number):
        return number * 2

    with Flow("cached", result=LocalResult(dir=folder)) as flow:
        expensive(Parameter("number", default=1))
    print(flow.register(project_name=project, no_url=True))
