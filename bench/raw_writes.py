"""The baseline of the writes: what they cost a server that knows them beforehand. Run by servers.asgi as
`bench.raw_writes:app`.

As bench.raw: plain ASGI on uvicorn with uvloop and httptools, asyncpg's pool, orjson; each request is one prepared
statement, written by hand, that leaves the same rows behind. Nothing is checked that the statement does not check.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

import orjson

from bench.raw import Raw

Fetch = Callable[..., Awaitable[Any]]

_BEAT: Final = "UPDATE flow_run SET heartbeat = now() WHERE id = $1 RETURNING true"
_BEAT_TASK: Final = "UPDATE task_run SET heartbeat = now() WHERE id = $1 RETURNING true"

_SET: Final = """
WITH parent AS (
    SELECT id FROM flow_run
    WHERE id = (SELECT flow_run_id FROM task_run WHERE id = $1) AND state = 'Running'
    FOR SHARE
),
run AS (
    SELECT task_run.id, task_run.tenant_id, task_run.version
    FROM parent JOIN task_run ON task_run.flow_run_id = parent.id
    WHERE task_run.id = $1
    FOR NO KEY UPDATE OF task_run
),
written AS (
    INSERT INTO task_run_state (tenant_id, task_run_id, "timestamp", state, message, serialized_state, version)
    SELECT tenant_id, id, now(), $2, $3, $4::text::jsonb, version + 1 FROM run
),
beating AS (
    UPDATE task_run SET heartbeat = now() WHERE id IN (SELECT id FROM run)
)
SELECT id FROM run
"""
_SET_MANY: Final = """
WITH entry AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS e(task_run_id, state, message, document)
),
parent AS (
    SELECT id FROM flow_run
    WHERE id IN (SELECT flow_run_id FROM task_run WHERE id = ANY($1::uuid[])) AND state = 'Running'
    ORDER BY id
    FOR SHARE
),
run AS (
    SELECT task_run.id, task_run.tenant_id, task_run.version
    FROM parent JOIN task_run ON task_run.flow_run_id = parent.id
    WHERE task_run.id = ANY($1::uuid[])
    ORDER BY task_run.id
    FOR NO KEY UPDATE OF task_run
),
written AS (
    INSERT INTO task_run_state (tenant_id, task_run_id, "timestamp", state, message, serialized_state, version)
    SELECT run.tenant_id, run.id, now(), entry.state, entry.message, entry.document::jsonb, run.version + 1
    FROM run JOIN entry ON entry.task_run_id = run.id
),
beating AS (
    UPDATE task_run SET heartbeat = now() WHERE id IN (SELECT id FROM run)
)
SELECT count(*) FROM run
"""
_GET_OR_CREATE: Final = """
WITH found AS (
    SELECT id, version, serialized_state
    FROM task_run
    WHERE flow_run_id = $1 AND task_id = $2 AND map_index = $3
),
made AS (
    INSERT INTO task_run (tenant_id, flow_run_id, task_id, map_index, cache_key)
    SELECT flow_run.tenant_id, flow_run.id, task.id, $3, task.cache_key
    FROM flow_run, task
    WHERE flow_run.id = $1 AND task.id = $2 AND NOT EXISTS (SELECT FROM found)
    ON CONFLICT (flow_run_id, task_id, map_index) DO NOTHING
    RETURNING id, tenant_id
),
first_state AS (
    INSERT INTO task_run_state (tenant_id, task_run_id, "timestamp", state, message, serialized_state, version)
    SELECT tenant_id, id, now(), 'Pending', 'Task run created', $4::text::jsonb, 1 FROM made
)
SELECT json_build_object('id', id, 'version', version, 'serialized_state', serialized_state)
FROM (SELECT * FROM found UNION ALL SELECT id, 1, $4::text::jsonb FROM made) AS run
"""
_PENDING: Final = orjson.dumps(
    {
        **{"type": "Pending", "message": "Task run created", "context": {}, "cached_inputs": {}},
        **{"_result": {"type": "NoResultType", "__version__": "1.4.1"}, "__version__": "1.4.1"},
    }
).decode()
_LOGS: Final = """
INSERT INTO log (tenant_id, flow_run_id, task_run_id, "timestamp", name, level, message, info)
SELECT
    flow_run.tenant_id, line.flow_run_id, line.task_run_id, line."timestamp", line.name, line.level, line.message,
    line.info::jsonb
FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[])
    AS line(flow_run_id, task_run_id, "timestamp", name, level, message, info)
JOIN flow_run ON flow_run.id = line.flow_run_id
"""
_QUEUE: Final = """
SELECT id
FROM (
    (
        SELECT id, 1 AS part, state_start_time
        FROM flow_run
        WHERE tenant_id = $1
            AND state IN ('Paused', 'Queued', 'Resume', 'Retrying', 'Scheduled')
            AND coalesce(left(labels ->> 0, 64), '') = ANY($3::text[])
            AND state_start_time <= $2
            AND labels <> '[]' AND labels <@ to_jsonb($3::text[])
        ORDER BY state_start_time, id
        LIMIT 15
    )
    UNION ALL
    (
        SELECT run.id, 2, NULL
        FROM flow_run AS run
        CROSS JOIN LATERAL (
            SELECT
            FROM task_run
            WHERE task_run.flow_run_id = run.id
                AND task_run.state IN ('Paused', 'Queued', 'Resume', 'Retrying', 'Scheduled')
                AND task_run.state_start_time <= $2
            LIMIT 1
        ) AS due_task
        WHERE run.tenant_id = $1 AND run.state = 'Running' AND run.labels <> '[]' AND run.labels <@ to_jsonb($3::text[])
        ORDER BY run.state_start_time NULLS LAST, run.id
        LIMIT 15
    )
) AS queue
ORDER BY part, state_start_time, id
LIMIT 15
"""


class RawWrites(Raw):
    """Carries out the writes over one pool: `POST /NAME` with the arguments that the mutation has."""

    async def _answer(self, name: str, body: bytes) -> bytes:
        given = orjson.loads(body)
        assert self._pool is not None
        async with self._pool.acquire() as connection:
            found = await _DO[name](connection.fetch, given)
        return b'{"data":' + (found if isinstance(found, bytes) else orjson.dumps(found)) + b"}"


async def _beat(fetch: Fetch, given: Any) -> Any:
    return {"success": bool(await fetch(_BEAT, given["flow_run_id"]))}


async def _beat_task(fetch: Fetch, given: Any) -> Any:
    return {"success": bool(await fetch(_BEAT_TASK, given["task_run_id"]))}


async def _set(fetch: Fetch, given: Any) -> Any:
    states = given["states"]
    documents = [each["state"] for each in states]
    columns = (
        [each["task_run_id"] for each in states],
        [each["type"] for each in documents],
        [each["message"] for each in documents],
        [orjson.dumps(each).decode() for each in documents],
    )
    if len(states) == 1:
        await fetch(_SET, *(column[0] for column in columns))
    else:
        await fetch(_SET_MANY, *columns)
    return {"states": [{"id": each["task_run_id"], "status": "SUCCESS", "message": None} for each in states]}


async def _get_or_create(fetch: Fetch, given: Any) -> Any:
    rows = await fetch(_GET_OR_CREATE, given["flow_run_id"], given["task_id"], given["map_index"], _PENDING)
    return rows[0][0]


async def _logs(fetch: Fetch, given: Any) -> Any:
    lines = given["logs"]
    await fetch(
        _LOGS,
        [line["flow_run_id"] for line in lines],
        [line["task_run_id"] for line in lines],
        [datetime.fromisoformat(line["timestamp"]) for line in lines],
        [line["name"] for line in lines],
        [line["level"] for line in lines],
        [line["message"] for line in lines],
        [None if line["info"] is None else orjson.dumps(line["info"]).decode() for line in lines],
    )
    return {"success": True}


async def _queue(fetch: Fetch, given: Any) -> Any:
    rows = await fetch(_QUEUE, given["tenant_id"], datetime.fromisoformat(given["before"]), given["labels"])
    return {"flow_run_ids": [str(row[0]) for row in rows]}


_DO: Final[dict[str, Callable[[Fetch, Any], Awaitable[Any]]]] = {
    "update_flow_run_heartbeat": _beat,
    "update_task_run_heartbeat": _beat_task,
    "set_task_run_states": _set,
    "get_or_create_task_run_info": _get_or_create,
    "write_run_logs": _logs,
    "get_runs_in_queue": _queue,
}

app = RawWrites()
