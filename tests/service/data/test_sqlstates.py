"""Whatever Postgres complains about becomes the error of data-api.md §2.6, and nothing of the statement leaks."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.data.app import create_app, create_service
from tests.support.cluster import Cluster, connected
from tests.support.settings import data_settings, server_settings

SETUP = """
CREATE TABLE a (id integer PRIMARY KEY);
CREATE FUNCTION complain(code text) RETURNS SETOF a LANGUAGE plpgsql STABLE AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = code, MESSAGE = 'told', DETAIL = 'a secret', HINT = 'SELECT secret FROM a';
END $$;
CREATE FUNCTION slow() RETURNS SETOF a LANGUAGE sql STABLE AS $$ SELECT 1 FROM pg_sleep(20) $$;
"""
METADATA = "tables: [{table: a}]\nfunctions: [{function: complain}, {function: slow}]\n"


@pytest.fixture(scope="module")
async def complaining(
    cluster: Cluster, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a data API whose functions fail on request."""
    worker = getattr(pytestconfig, "workerinput", {}).get("workerid", "main")
    name = f"{cluster.run}_complaining_{worker}"
    dsn = await cluster.create(name)
    async with connected(dsn) as connection:
        await connection.execute(SETUP)
    metadata: Path = tmp_path_factory.mktemp("complaining") / "metadata.yaml"
    await asyncio.to_thread(metadata.write_text, METADATA)
    settings = server_settings(data=data_settings(statement_timeout_seconds=0.2, pool_size=2))
    app = create_app(create_service(settings, dsn, metadata))
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        yield client
    await cluster.drop(name)


@pytest.mark.parametrize(
    ("sqlstate", "code", "message", "status"),
    [
        ("23505", "constraint-violation", "Uniqueness violation. told", 400),
        ("23503", "constraint-violation", "Foreign key violation. told", 400),
        ("23502", "constraint-violation", "Not-NULL violation. told", 400),
        ("23001", "constraint-violation", "Can not delete or update due to data being referred. told", 400),
        ("23P01", "constraint-violation", "Exclusion violation. told", 400),
        ("23514", "permission-error", "Check constraint violation. told", 400),
        ("44000", "permission-error", "Check constraint violation. told", 400),
        ("22P02", "data-exception", "told", 400),
        ("22003", "data-exception", "told", 400),
        ("22007", "data-exception", "told", 400),
        ("22012", "data-exception", "told", 400),
        ("22999", "data-exception", "told", 400),
        ("2201B", "data-exception", "told", 400),
        ("22025", "bad-request", "told", 400),
        ("42704", "constraint-error", "told", 400),
        ("42P10", "constraint-error", "told", 400),
        ("42883", "unexpected", "database query error", 500),
        ("42501", "unexpected", "database query error", 500),
        ("42P01", "unexpected", "database query error", 500),
        ("42703", "unexpected", "database query error", 500),
        ("25006", "unexpected", "database query error", 500),
        ("0A000", "unexpected", "database query error", 500),
        ("P0001", "unexpected", "database query error", 500),
        ("XX000", "unexpected", "database query error", 500),
        ("53200", "unexpected", "database query error", 500),
        ("54001", "validation-failed", "the query is too complex for the database", 400),
        ("54000", "validation-failed", "the query is too complex for the database", 400),
        ("57014", "timeout", "Operation timed out", 400),
    ],
)
async def test_every_class_of_complaint_has_its_error(
    complaining: httpx.AsyncClient, sqlstate: str, code: str, message: str, status: int
) -> None:
    query = f'{{ complain(args: {{code: "{sqlstate}"}}) {{ id }} }}'
    for path, expected in (("/v1alpha1/graphql", status), ("/v1/graphql", 200)):
        response = await complaining.post(path, json={"query": query})
        assert response.status_code == expected
        [error] = response.json()["errors"]
        assert list(response.json()) == ["errors"]
        error["extensions"].pop("id", None)
        assert error == {"extensions": {"path": "$", "code": code}, "message": message}
        for internal in ("secret", "SELECT", "complain", sqlstate, "asyncpg", "PL/pgSQL"):
            assert internal not in response.text


async def test_a_statement_that_takes_too_long_is_stopped_and_says_so(complaining: httpx.AsyncClient) -> None:
    response = await complaining.post("/v1alpha1/graphql", json={"query": "{ slow { id } a { id } }"})
    assert response.status_code == 400
    assert json.loads(response.text) == {
        "errors": [
            {
                "extensions": {"path": "$", "code": "timeout"},
                "message": "Operation timed out",
            }
        ]
    }
    assert (await complaining.post("/v1/graphql", json={"query": "{ a { id } }"})).json() == {"data": {"a": []}}
