"""SQL on tables task and edge: many rows per statement. Called by actions.flows and actions.registration."""

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from uuid import UUID, uuid4

from server_core.db.session import ReadSession, WriteSession
from server_core.flow_document import Edge, Task
from server_core.store.planner import prefer_indexes

INSERT_TASKS = """
-- tasks of one flow; a slug that the flow already has is left alone
INSERT INTO task (
    flow_id, tenant_id, id, name, slug, type, max_retries, tags, retry_delay, trigger, auto_generated, cache_key
)
SELECT $1, $2, t.id, t.name, t.slug, t.type, t.max_retries, t.tags::jsonb, t.retry_delay, t.trigger, t.auto_generated,
       t.cache_key
FROM unnest(
    $3::uuid[], $4::text[], $5::text[], $6::text[], $7::int[], $8::text[], $9::interval[], $10::text[], $11::bool[],
    $12::text[]
) AS t (id, name, slug, type, max_retries, tags, retry_delay, trigger, auto_generated, cache_key)
ON CONFLICT (flow_id, slug) DO NOTHING
RETURNING slug
"""

INSERT_EDGES = """
-- edges of one flow; of several between the same two tasks the first stays
INSERT INTO edge (flow_id, tenant_id, upstream_task_id, downstream_task_id, key, mapped)
SELECT $1, $2, e.upstream, e.downstream, e.key, e.mapped
FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::bool[])
    WITH ORDINALITY AS e (upstream, downstream, key, mapped, position)
ORDER BY e.position
ON CONFLICT (flow_id, downstream_task_id, upstream_task_id) DO NOTHING
"""

APPEND_TASKS = """
-- the stored document's list of tasks grows; made when missing
UPDATE flow
SET serialized_flow = jsonb_set(
    coalesce(serialized_flow, '{}'), '{tasks}', coalesce(nullif(serialized_flow -> 'tasks', 'null'), '[]') || $2::jsonb
)
WHERE id = $1
"""


async def insert_tasks(
    session: WriteSession, tasks: Sequence[Task], *, flow_id: UUID, tenant_id: UUID | None, batch_size: int
) -> set[str]:
    """Insert tasks of a flow; return the slugs that were new.

    An id that the document gives is kept unless another task has it: documents may be registered repeatedly.
    """
    taken = await _taken_ids(session, [task.id for task in tasks if task.id is not None])
    new: set[str] = set()
    rows = iter(tasks)
    while batch := list(islice(rows, batch_size)):
        ids = []
        for task in batch:
            task_id = uuid4() if task.id is None or task.id in taken else task.id
            taken.add(task_id)
            ids.append(task_id)
        inserted = await session.fetch(
            INSERT_TASKS,
            flow_id,
            tenant_id,
            ids,
            [task.name for task in batch],
            [task.slug for task in batch],
            [task.type for task in batch],
            [task.max_retries for task in batch],
            [json.dumps(task.tags) for task in batch],
            [task.retry_delay for task in batch],
            [task.trigger for task in batch],
            [task.auto_generated for task in batch],
            [task.cache_key for task in batch],
        )
        new.update(row["slug"] for row in inserted)
    return new


async def insert_edges(
    session: WriteSession,
    edges: Sequence[Edge],
    *,
    task_ids: Mapping[str, UUID],
    flow_id: UUID,
    tenant_id: UUID | None,
    batch_size: int,
) -> None:
    """Insert edges of a flow.

    Args:
        task_ids: the tasks by slug, as find_tasks_of_edges returns them; none may be missing.
    """
    if edges:
        await prefer_indexes(session)
    rows = iter(edges)
    while batch := list(islice(rows, batch_size)):
        await session.execute(
            INSERT_EDGES,
            flow_id,
            tenant_id,
            [task_ids[edge.upstream] for edge in batch],
            [task_ids[edge.downstream] for edge in batch],
            [edge.key for edge in batch],
            [edge.mapped for edge in batch],
        )


async def find_tasks_of_edges(session: ReadSession, edges: Sequence[Edge], *, flow_id: UUID) -> dict[str, UUID]:
    """Return the ids of the tasks that edges name, by slug; a slug that no task of the flow has is missing.

    All at once and not slug by slug: while Postgres knows nothing of a young table it takes the index of flows for as
    good as that of slugs, and reads all tasks of the flow for each edge.
    """
    rows = await session.fetch(
        "SELECT slug, id FROM task WHERE flow_id = $1 AND slug IN (SELECT unnest($2::text[]))",
        flow_id,
        list({slug for edge in edges for slug in (edge.upstream, edge.downstream)}),
    )
    return {row["slug"]: row["id"] for row in rows}


async def append_to_document(session: WriteSession, tasks: Sequence[Task], *, flow_id: UUID) -> None:
    """Append tasks to the flow's stored document."""
    await session.execute(APPEND_TASKS, flow_id, [task.entry for task in tasks])


async def _taken_ids(session: ReadSession, ids: Sequence[UUID]) -> set[UUID]:
    if not ids:
        return set()
    return {row["id"] for row in await session.fetch("SELECT id FROM task WHERE id = ANY($1::uuid[])", ids)}
