"""SQL on task_run_artifact. Called by actions.artifacts."""

from dataclasses import dataclass
from uuid import UUID

from server_core.db.session import WriteSession


@dataclass(frozen=True, kw_only=True, slots=True)
class InsertedArtifact:
    """How an insert went.

    Attributes:
        id: the new row, or None.
        task_run_exists: whether there is such a task run.
    """

    id: UUID | None
    task_run_exists: bool


async def insert_artifact(
    session: WriteSession, *, task_run_id: UUID, kind: str, data: str, tenant_id: UUID | None
) -> InsertedArtifact:
    """Insert an artifact, if the task run exists and is the tenant's (None: whoever's it is); one statement."""
    row = await session.fetch_row(
        """
        WITH run AS (
            SELECT task_run.id, coalesce(task_run.tenant_id, flow_run.tenant_id) AS tenant_id
            FROM task_run JOIN flow_run ON flow_run.id = task_run.flow_run_id
            WHERE task_run.id = $1
            FOR KEY SHARE OF task_run
        ),
        made AS (
            INSERT INTO task_run_artifact (tenant_id, task_run_id, kind, data)
            SELECT tenant_id, id, $2, $3::text::jsonb FROM run WHERE $4::uuid IS NULL OR tenant_id = $4
            RETURNING id
        )
        SELECT (SELECT id FROM made) AS id, EXISTS (SELECT FROM run) AS task_run_exists
        """,
        task_run_id,
        kind,
        data,
        tenant_id,
    )
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    return InsertedArtifact(**row)


async def update_artifact(session: WriteSession, *, artifact_id: UUID, data: str) -> bool:
    """Replace an artifact's data."""
    sql = "UPDATE task_run_artifact SET data = $2::text::jsonb WHERE id = $1"
    return await session.execute(sql, artifact_id, data) > 0


async def delete_artifact(session: WriteSession, *, artifact_id: UUID) -> bool:
    """Delete an artifact."""
    return await session.execute("DELETE FROM task_run_artifact WHERE id = $1", artifact_id) > 0
