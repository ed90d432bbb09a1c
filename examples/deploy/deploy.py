"""Register the flows of a folder, with a cron schedule: python deploy.py FOLDER --project NAME --cron '0 6 * * *'

Run it with prefect 1.x (from a pipeline, say). Each `.py` file may hold any number of flows. A flow that did not change
since the last run is not registered again: its content is its idempotency key. Exit code 1 if a file cannot be read.
"""

import argparse
import sys
from pathlib import Path

import prefect
from prefect.schedules import CronSchedule
from prefect.storage import Local
from prefect.utilities.storage import extract_flow_from_file


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--project", required=True, help="made if it is not there")
    parser.add_argument("--cron", help="schedule of every flow that has none")
    parser.add_argument("--label", action="append", default=[], help="which agents may run them; may be repeated")
    given = parser.parse_args()

    client = prefect.Client()
    client.create_project(project_name=given.project)  # returns the id of one that is there
    failed = False
    for path in sorted(given.folder.glob("*.py")):
        try:
            flow = extract_flow_from_file(str(path))
        except Exception as error:
            print(f"{path}: {error}", file=sys.stderr)
            failed = True
            continue
        if given.cron and flow.schedule is None:
            flow.schedule = CronSchedule(given.cron)
        flow.storage = Local(path=str(path.resolve()), stored_as_script=True, add_default_labels=False)
        flow_id = flow.register(
            project_name=given.project,
            labels=given.label or None,
            idempotency_key=flow.serialized_hash(),
            no_url=True,
        )
        print(f"{path.name}: {flow.name} {flow_id}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
