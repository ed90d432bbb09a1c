"""Case folders → requests and expected answers. `python -m tests.service.data.cases URL` writes the answers anew.

A case is `case.graphql`, optionally `variables.json`, and `case.json`: the whole answer. Folders are grouped by who
asks: `client` (the Prefect 1.4.1 package, data-api.md §4.2), `ui` (§4.1) and `features` (§2).
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Final

import asyncpg

from server_core.wire import GraphQLRequest
from services.data.app import METADATA, DataService
from tests.support.settings import server_settings

HERE: Final = Path(__file__).parent
CASES: Final = sorted(path.parent for path in (HERE / "cases").glob("*/*/case.graphql"))


def name_of(case: Path) -> str:
    """Return group and name of a case."""
    return f"{case.parent.name}/{case.name}"


def request_of(case: Path) -> GraphQLRequest:
    """Return the request of a case."""
    variables = case / "variables.json"
    given = json.loads(variables.read_text()) if variables.exists() else {}
    return GraphQLRequest(query=(case / "case.graphql").read_text(), variables=given)


def written(body: bytes, case: Path) -> str:
    """Return an answer as it stands in case.json; the order of keys is part of it.

    The order of rows is, too, where the case asks for one; else they are sorted: Postgres may return them in any.
    """
    answer = json.loads(body)
    if "order_by" not in (case / "case.graphql").read_text():
        for rows in (answer.get("data") or {}).values():
            if isinstance(rows, list):
                rows.sort(key=json.dumps)
    return json.dumps(answer, indent=2) + "\n"


async def write(url: str) -> None:
    """Fill an empty, migrated database and write every case.json from it."""
    connection = await asyncpg.connect(url)
    await connection.execute((HERE / "world.sql").read_text())
    await connection.close()
    service = DataService(server_settings(), url, METADATA)
    await service.start()
    for case in CASES:
        answer = await service.execute(request_of(case))
        (case / "case.json").write_text(written(answer.body, case))
    await service.stop()


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1]))
