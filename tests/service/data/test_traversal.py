"""Walking a flow's edges through the data API (actions.md §4.7)."""

import json

from server_core.db.session import Database
from server_core.wire import GraphQLRequest
from services.data.app import METADATA, DataService
from tests.support.factories import make_flow
from tests.support.settings import server_settings

WALK = """
query($tasks: _uuid) {
  all: utility_downstream_tasks(args: {start_task_ids: $tasks}) { depth task { slug } }
  near: utility_downstream_tasks(args: {start_task_ids: $tasks, depth_limit: 1}) { depth task { slug } }
  deep: utility_downstream_tasks(args: {start_task_ids: $tasks}, where: {depth: {_gt: 1}}) { depth task { slug } }
  one: utility_downstream_tasks(args: {start_task_ids: $tasks}, where: {task: {slug: {_eq: "task-2"}}}) {
    depth task { slug }
  }
  up: utility_upstream_tasks(args: {start_task_ids: "{%s}"}, where: {depth: {_eq: 2}}) { depth task { slug } }
}
"""


async def test_start_tasks_are_text_and_rows_can_be_filtered(database: Database, database_url: str) -> None:
    """§4.7: an array literal, as a variable and in the document; by depth and by what belongs to the task."""
    async with database.transaction() as session:
        flow = await make_flow(session, tasks=5, edges=[(0, 2), (1, 2), (2, 3)])
    service = DataService(server_settings(), database_url, METADATA)
    await service.start()
    try:
        starts = "{" + ", ".join(str(task_id) for task_id in flow.task_ids[:2]) + "}"
        request = GraphQLRequest(query=WALK % flow.task_ids[3], variables={"tasks": starts})
        data = json.loads((await service.execute(request)).body)["data"]
    finally:
        await service.stop()
    found = {name: sorted((row["depth"], row["task"]["slug"]) for row in rows) for name, rows in data.items()}
    assert found == {
        "all": [(0, "task-0"), (0, "task-1"), (1, "task-2"), (2, "task-3")],
        "near": [(0, "task-0"), (0, "task-1"), (1, "task-2")],
        "deep": [(2, "task-3")],
        "one": [(1, "task-2")],
        "up": [(2, "task-0"), (2, "task-1")],
    }
