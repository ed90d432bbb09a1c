"""SQL that deletes from the leaves to the root, a bounded number of rows per statement, and table pending_removal.

Called by actions.removal (mark) and actions.erasure (delete). No statement relies on a cascade: what is deleted has
nothing below it any more, but for the few rows that came in during the statement.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal
from uuid import UUID

from server_core.db.session import ReadSession, Row, WriteSession
from server_core.states import CONCRETE, FINISHED

Kind = Literal["flow_run", "flow", "flow_group", "project", "tenant"]
"""What can be deleted in batches; the name of its table."""


@dataclass(frozen=True)
class Branch:
    """A table on the way from what is deleted down to the leaves.

    Attributes:
        table: its name.
        key: the column that refers to the row above.
        below: tables that refer to this one. Empty: its rows are deleted by that column, without looking at them.
        first: a condition on rows that go before the others.
    """

    table: str
    key: str
    below: "tuple[Branch, ...]" = ()
    first: str | None = None


def _task_runs(key: str) -> Branch:
    below = tuple(Branch(table, "task_run_id") for table in ("log", "task_run_artifact", "task_run_state"))
    return Branch("task_run", key, below)


def _flow_runs(key: str) -> Branch:
    below = (Branch("log", "flow_run_id"), _task_runs("flow_run_id"), Branch("flow_run_state", "flow_run_id"))
    return Branch("flow_run", key, below, first=f"state IN ({', '.join(map(repr, sorted(CONCRETE - FINISHED)))})")


def _flows(key: str) -> Branch:
    return Branch("flow", key, (_flow_runs("flow_id"), Branch("edge", "flow_id"), Branch("task", "flow_id")))


def _flow_groups(key: str) -> Branch:
    return Branch("flow_group", key, (_flows("flow_group_id"),))


def _projects(key: str) -> Branch:
    return Branch("project", key, (_flows("project_id"),))


def _tenants(key: str) -> Branch:
    owned = tuple(Branch(table, "tenant_id") for table in ("message", "agent", "agent_config", "cloud_hook"))
    return Branch("tenant", key, (_flows("tenant_id"), _projects("tenant_id"), _flow_groups("tenant_id"), *owned))


ROOTS: dict[Kind, Branch] = {
    "flow_run": _flow_runs("id"),
    "flow": _flows("id"),
    "flow_group": _flow_groups("id"),
    "project": _projects("id"),
    "tenant": _tenants("id"),
}
"""Each kind as a branch whose rows are found by their own id."""

FLOWS_OF: dict[Kind, str] = {
    "flow": "id",
    "flow_group": "flow_group_id",
    "project": "project_id",
    "tenant": "tenant_id",
}
"""Kind → the column of flow that refers to it."""

_SCOPE = """
    SET LOCAL enable_seqscan = off;
    SET LOCAL enable_bitmapscan = off;
    SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off;
    SET LOCAL lock_timeout = '300ms'
"""


def is_kept(id: str) -> str:
    """Return the condition that what has this id is not to be deleted.

    It is one look into an index, however much is marked, and cannot become a join, which would upset the order in which
    the statement around it goes through its rows.

    Args:
        id: a column, with the name of its table.
    """
    return f"(SELECT mark.id FROM pending_removal AS mark WHERE mark.id = {id}) IS NULL"  # noqa: S608 - a column


async def scope(session: WriteSession, *, durable: bool = True) -> None:
    """Prepare a transaction for the statements below; each of them uses an index, whatever the statistics say.

    A statement that finds little must not read a whole table for it, nor collect all it finds before it takes some.

    Args:
        durable: False: a crash of Postgres may undo the transaction; what it deleted is then deleted again.
    """
    await session.execute(_SCOPE if durable else f"{_SCOPE}; SET LOCAL synchronous_commit = off")


async def delete_leaves(session: WriteSession, branch: Branch, *, above: Sequence[UUID], limit: int) -> int:
    """Delete up to `limit` rows of a branch without branches of its own, by the rows above; return how many went."""
    return await session.execute(
        f"""
        DELETE FROM {branch.table}
        WHERE ctid = ANY(ARRAY(SELECT ctid FROM {branch.table} WHERE {branch.key} = ANY($1::uuid[]) LIMIT $2))
        """,  # noqa: S608 - names from code
        above,
        limit,
    )


async def find_rows(
    session: ReadSession, branch: Branch, *, above: Sequence[UUID], limit: int, first: bool = False
) -> list[UUID]:
    """Return ids of up to `limit` rows of a branch, by the rows above.

    Args:
        first: only of those that go before the others.
    """
    condition = f" AND {branch.first}" if first else ""
    rows = await session.fetch(
        f"SELECT id FROM {branch.table} WHERE {branch.key} = ANY($1::uuid[]){condition} LIMIT $2",  # noqa: S608
        above,
        limit,
    )
    return [row["id"] for row in rows]


@cache
def _delete_rows(branch: Branch, *, wait: bool) -> str:
    bare = "".join(
        f" AND NOT EXISTS (SELECT FROM {below.table} WHERE {below.table}.{below.key} = {branch.table}.id)"
        for below in branch.below
        if below.below
    )
    return f"""
        WITH gone AS (
            DELETE FROM {branch.table}
            WHERE id = ANY(ARRAY(
                SELECT id FROM {branch.table} WHERE id = ANY($1::uuid[]){bare}
                ORDER BY id FOR UPDATE{"" if wait else " SKIP LOCKED"}
            ))
            RETURNING id
        ),
        done AS (
            DELETE FROM pending_removal WHERE id IN (SELECT id FROM gone)
        )
        SELECT count(*) FROM gone
        """  # noqa: S608 - names from code


async def delete_rows(session: WriteSession, branch: Branch, *, ids: Sequence[UUID], wait: bool = False) -> int:
    """Delete those rows of a branch that have no branch below them any more; return how many went.

    Their marks go with them.

    Args:
        wait: wait for rows that somebody else is changing; else they are passed over. Only for a single row.
    """
    count: int = await session.fetch_value(_delete_rows(branch, wait=wait), ids)
    return count


async def delete_small_flow_run(
    session: WriteSession, *, flow_run_id: UUID, most_task_runs: int, most_logs: int
) -> int:
    """Delete a flow run with all it holds if that is not much; return how many went."""
    return await session.execute(
        """
        DELETE FROM flow_run
        WHERE id = $1
            AND (SELECT count(*) FROM (SELECT FROM task_run WHERE flow_run_id = $1 LIMIT $2 + 1) AS t) <= $2
            AND (SELECT count(*) FROM (SELECT FROM log WHERE flow_run_id = $1 LIMIT $3 + 1) AS l) <= $3
        """,
        flow_run_id,
        most_task_runs,
        most_logs,
    )


async def lock(session: WriteSession, *, kind: Kind, id: UUID) -> bool:
    """Lock the row of what is to be deleted against everybody; return whether there is one."""
    found = await session.fetch_value(f"SELECT id FROM {kind} WHERE id = $1 FOR UPDATE", id)  # noqa: S608 - a Kind
    return found is not None


async def mark(session: WriteSession, *, kind: Kind, ids: Sequence[UUID]) -> int:
    """Note that rows of a kind are to be deleted; return how many were not noted before."""
    return await session.execute(
        "INSERT INTO pending_removal (id, kind) SELECT id, $2 FROM unnest($1::uuid[]) AS u(id) ON CONFLICT DO NOTHING",
        ids,
        kind,
    )


async def give_name_free(session: WriteSession, *, kind: Kind, id: UUID) -> None:
    """Rename what is being deleted, so that another of its name can be made at once."""
    match kind:
        case "project" | "flow_group":
            await session.execute(
                f"UPDATE {kind} SET name = left(name, 200) || ' (being deleted, ' || id || ')' WHERE id = $1",  # noqa: S608
                id,
            )
        case "tenant":
            await session.execute(
                """
                UPDATE tenant
                SET name = left(name, 200) || ' (being deleted)', slug = left(slug, 200) || '-being-deleted-' || id
                WHERE id = $1
                """,
                id,
            )
        case _:
            pass


async def retire_some_flows(session: WriteSession, *, kind: Kind, id: UUID, limit: int) -> int:
    """Archive and mark up to `limit` flows that are to be deleted, or that are in what is; return how many."""
    return await session.execute(
        f"""
        WITH found AS (
            SELECT id FROM flow
            WHERE {FLOWS_OF[kind]} = $1 AND {is_kept("flow.id")}
            ORDER BY id
            LIMIT $2
            FOR NO KEY UPDATE
        ),
        marked AS (
            INSERT INTO pending_removal (id, kind) SELECT id, 'flow' FROM found ON CONFLICT DO NOTHING
        )
        UPDATE flow SET archived = true, is_schedule_active = false WHERE id IN (SELECT id FROM found)
        """,  # noqa: S608 - a column from code
        id,
        limit,
    )


async def find_pending(session: ReadSession) -> list[Row]:
    """Return id and kind of what is to be deleted, what was asked for first first; flows before what holds them."""
    return await session.fetch(
        """
        SELECT id, kind FROM pending_removal
        ORDER BY requested, array_position(ARRAY['flow_run', 'flow', 'flow_group', 'project', 'tenant'], kind::text), id
        """
    )


async def is_pending(session: ReadSession, *, ids: Sequence[UUID]) -> bool:
    """Tell whether any of some rows is to be deleted."""
    found: bool = await session.fetch_value(
        "SELECT EXISTS (SELECT FROM pending_removal WHERE id = ANY($1::uuid[]))", ids
    )
    return found


async def forget_absent(session: WriteSession, *, kind: Kind, ids: Sequence[UUID]) -> None:
    """Take the marks of what is gone, whoever deleted it."""
    await session.execute(
        f"""
        DELETE FROM pending_removal
        WHERE id = ANY($1::uuid[]) AND NOT EXISTS (SELECT FROM {kind} WHERE {kind}.id = pending_removal.id)
        """,  # noqa: S608 - a Kind
        ids,
    )
