"""A dry run says what an upgrade would do, and does nothing (schema.md §2)."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from server_core.db.legacy import BASELINE, steps_after
from server_core.db.migrate import current_revisions, upgrade
from server_core.db.plan import plan
from server_core.db.revisions import Revisions, head_revisions
from server_core.errors import ConfigError
from tests.service.database.catalog import describe
from tests.support.cluster import connected
from tests.support.legacy_data import adopted, fill, snapshot
from tests.support.legacy_schema import REVISIONS, build


@pytest.mark.parametrize("revision", ["72e2cd3e0469", "850b76d44332"])
async def test_a_plan_counts_what_the_upgrade_changes(empty_database_url: str, revision: str) -> None:
    now = datetime.now(UTC)
    async with connected(empty_database_url) as connection:
        await build(connection, revision)
        await fill(connection, revision, now)
        before, facts = await snapshot(connection), await describe(connection)
    found = await plan(empty_database_url)
    async with connected(empty_database_url) as connection:
        assert await snapshot(connection) == before
        assert await describe(connection) == facts
    assert (found.found, found.head) == (Revisions(legacy=revision, additions=None), head_revisions())
    after = adopted(before, revision, now)
    counts = {step.revision: step.rewrites[0][0] for step in found.steps if step.rewrites}
    assert counts == {
        "24f10aeee83e": sum(bool(run["labels"]) for run in after["flow_run"]),
        "7ca57ea2fdff": sum(run["run_config"] is not None for run in after["flow_run"]),
        "a666a3f4e422": len(before["flow_run"]) - len(after["flow_run"]),
        BASELINE: len(before["edge"]) - len(after["edge"]),
    }
    assert all(counts.values()) == (revision == "850b76d44332")  # no run has a key or a configuration before
    text = found.text()
    assert f"{counts[BASELINE]} copies of an edge are deleted" in text
    assert "DROP COLUMN" not in text
    assert ("DROP COLUMN state_id" in found.text(statements=True)) == (revision == "72e2cd3e0469")
    assert [step.revision for step in found.steps][: len(steps_after(revision))] == list(
        REVISIONS[REVISIONS.index(revision) + 1 :]
    )


def separated(script: str) -> Iterator[str]:
    """Take a script apart at the semicolons that end its statements."""
    statement = ""
    for piece in script.split(";\n"):
        statement += piece + ";\n"
        if not any(statement.count(quote) % 2 for quote in ("$$", "$do$")):
            if piece.strip():
                yield statement
            statement = ""


async def test_the_statements_of_a_plan_make_the_schema(empty_database_url: str, database_url: str) -> None:
    """What is shown is what is run: by hand it makes the same database."""
    found = await plan(empty_database_url)
    statements = "".join(step.statements for step in found.steps)
    async with connected(database_url) as connection:
        wanted = await describe(connection)
        trigrams = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm')")
    async with connected(empty_database_url) as connection:
        for statement in separated(statements):
            if trigrams or "trgm" not in statement:
                await connection.execute(statement)
        assert sorted(await describe(connection)) == sorted(wanted)


async def test_there_is_nothing_to_do(database_url: str) -> None:
    found = await plan(database_url)
    assert found.steps == ()
    assert found.text().endswith("nothing to do")


async def test_a_plan_for_an_empty_database(empty_database_url: str) -> None:
    found = await plan(empty_database_url)
    assert found.steps[0].revision == BASELINE
    assert "CREATE TABLE tenant" in found.text(statements=True)
    assert await current_revisions(empty_database_url) == Revisions(legacy=None, additions=None)


async def test_a_plan_refuses_what_the_upgrade_refuses(empty_database_url: str) -> None:
    async with connected(empty_database_url) as connection:
        await build(connection, "a666a3f4e422")
        await connection.execute("ALTER TABLE flow_run DROP COLUMN labels")
    with pytest.raises(ConfigError) as refused:
        await upgrade(empty_database_url)
    with pytest.raises(ConfigError) as caught:
        await plan(empty_database_url)
    assert caught.value.message == refused.value.message
