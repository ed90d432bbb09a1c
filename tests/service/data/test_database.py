"""What happens between the service and Postgres: hostile text, time limits, lost connections, odd roles."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from server_core.errors import ConfigError
from server_core.wire import GraphQLRequest
from services.data.app import METADATA, DataService
from services.data.catalog.introspect import INTROSPECTION, read_catalog
from services.data.errors import TimedOut, Unexpected
from services.data.execute import Postgres
from tests.support.cluster import Cluster, connected, disconnect
from tests.support.settings import data_settings, server_settings

CATALOG = Path(__file__).parents[2] / "unit" / "data" / "catalog.json"
HOSTILE = [
    "'; DROP TABLE tenant; --",
    '"; DROP TABLE tenant; --',
    "$1",
    "\\'; SELECT 1; --",
    "%_\\",
    "{a,b}",
    '{"a": 1}',
    "NULL",
    "é ☃ 𝄞",
    "",
]


async def ask(service: DataService, query: str, **variables: Any) -> Any:
    response = await service.execute(GraphQLRequest(query=query, variables=variables))
    body = json.loads(response.body)
    return body.get("data") or body["errors"][0]


async def test_the_committed_catalog_is_the_real_one(world_url: str) -> None:
    async with connected(world_url) as connection:
        real = read_catalog(await connection.fetchval(INTROSPECTION))
    committed = read_catalog(await asyncio.to_thread(CATALOG.read_text))
    assert {name: real.tables[name] for name in committed.tables} == committed.tables
    assert real.functions == committed.functions


@pytest.fixture
async def private(cluster: Cluster, pytestconfig: pytest.Config) -> AsyncIterator[tuple[str, DataService]]:
    """A database of its own, and the service over it."""
    worker = getattr(pytestconfig, "workerinput", {}).get("workerid", "main")
    name = f"{cluster.run}_data_{worker}"
    dsn = await cluster.create(name, template=cluster.template)
    service = DataService(server_settings(data=data_settings(pool_size=2)), dsn, METADATA)
    await service.start()
    yield dsn, service
    await service.stop()
    await cluster.drop(name)


async def test_hostile_text_is_only_text(private: tuple[str, DataService]) -> None:
    dsn, service = private
    async with connected(dsn) as connection:
        await connection.executemany(
            "INSERT INTO tenant (name, slug, settings) VALUES ($1::text, $2, jsonb_build_object('a', $1::text))",
            [(text, str(number)) for number, text in enumerate(HOSTILE)],
        )
    for number, text in enumerate(HOSTILE):
        written = json.dumps(text, ensure_ascii=False)
        expected = {"tenant": [{"slug": str(number), "name": text, "settings": text}]}
        fields = "slug name settings(path: \"['a']\")"
        for where in (
            f"{{name: {{_eq: {written}}}}}",
            f"{{name: {{_in: [{written}]}}}}",
            f"{{settings: {{_contains: {{a: {written}}}}}}}",
        ):
            assert await ask(service, f"{{ tenant(where: {where}) {{ {fields} }} }}") == expected
        for declared, where, value in (
            ("String", "{name: {_eq: $v}}", text),
            ("[String!]", "{name: {_in: $v}}", [text]),
            ("jsonb", "{settings: {_contains: $v}}", {"a": text}),
            ("String", "{settings: {_contains: {a: $v}}}", text),
            ("tenant_bool_exp", "$v", {"_not": {"name": {"_neq": text}}}),
        ):
            query = f"query ($v: {declared}) {{ tenant(where: {where}) {{ {fields} }} }}"
            assert await ask(service, query, v=value) == expected
    assert (await ask(service, "{ tenant_aggregate { aggregate { count } } }")) == {
        "tenant_aggregate": {"aggregate": {"count": len(HOSTILE)}}
    }


async def test_lists_with_a_limit_are_planned_once_and_for_all(private: tuple[str, DataService]) -> None:
    """Else Postgres plans every request anew, which for a page of runs takes as long as running it."""
    dsn, service = private
    async with connected(dsn) as connection:
        if connection.get_server_version().major < 14:
            pytest.skip("this Postgres does not tell how often it planned")
        await connection.execute(
            "INSERT INTO tenant (name, slug) SELECT 'n', n FROM generate_series(1, 5000) n; ANALYZE tenant"
        )
    query = "query ($n: Int!, $m: Int) { tenant(order_by: {id: asc}, limit: $n, offset: $m) { id } }"
    for number in range(10):
        assert len((await ask(service, query, n=40 + number, m=number))["tenant"]) == 40 + number
    plans = await service.postgres.run(
        "SELECT custom_plans <= 5 FROM pg_prepared_statements WHERE statement LIKE 'SELECT coalesce(json_agg%'"
    )
    assert [row[0] for row in plans] == [True]


@pytest.mark.parametrize("alias", ["r", "s", "t1", "a1", "select", "SELECT", "row_to_json", "id", "n" * 63])
async def test_no_alias_meets_the_names_in_the_statement(service: DataService, alias: str) -> None:
    query = f"""{{
        {alias}: tenant(order_by: {{slug: asc}}, limit: 1) {{
            {alias}: slug
            p_{alias[:60]}: projects(order_by: {{name: asc}}, limit: 1) {{ {alias}: name tenant {{ {alias}: slug }} }}
            x: projects_aggregate {{
                {alias}: aggregate {{ {alias}: count m: max {{ {alias}: name }} }}
                nodes {{ {alias}: id }}
            }}
        }}
    }}"""
    [row] = (await ask(service, query))[alias]
    assert row[alias] == "default"
    assert row[f"p_{alias[:60]}"] == [{alias: "p", "tenant": {alias: "default"}}]
    assert row["x"][alias] == {alias: 2, "m": {alias: "q"}}
    assert len(row["x"]["nodes"]) == 2


async def test_a_slow_statement_is_stopped(world_url: str) -> None:
    """actions.md §0.3: in the words that the UI compares."""
    postgres = Postgres(world_url, pool_size=1, statement_timeout=0.05)
    await postgres.start()
    with pytest.raises(TimedOut) as stopped:
        await postgres.run("SELECT pg_sleep(10)")
    assert stopped.value.message == "Operation timed out"
    await postgres.stop()


async def test_nothing_can_be_written(world_url: str, caplog: pytest.LogCaptureFixture) -> None:
    postgres = Postgres(world_url, pool_size=1)
    await postgres.start()
    with pytest.raises(Unexpected) as refused:
        await postgres.run("DELETE FROM tenant")
    await postgres.stop()
    assert refused.value.message == "database query error"
    assert refused.value.id in {getattr(record, "error_id", None) for record in caplog.records}


async def test_a_lost_connection_is_replaced(private: tuple[str, DataService]) -> None:
    dsn, service = private
    query = "{ tenant(limit: 0) { id } }"
    assert await ask(service, query) == {"tenant": []}
    async with connected(dsn) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert await ask(service, query) == {"tenant": []}


async def test_a_database_that_is_away_is_an_error_until_it_is_back(
    cluster: Cluster, private: tuple[str, DataService]
) -> None:
    dsn, service = private
    query = "{ tenant(limit: 0) { id } }"
    async with connected(dsn) as connection:
        name = await connection.fetchval("SELECT current_database()")
    async with connected(cluster.dsn) as connection:
        await connection.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
        await disconnect(connection, name)
        response = await service.execute(GraphQLRequest(query=query))
        await connection.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')
    assert response.status == 500
    assert json.loads(response.body) == {
        "errors": [{"extensions": {"path": "$", "code": "postgres-error"}, "message": "connection error"}]
    }
    assert await ask(service, query) == {"tenant": []}


async def test_more_values_than_postgres_takes_are_refused(service: DataService) -> None:
    query = "query ($where: tenant_bool_exp) { tenant(where: $where) { id } }"
    error = await ask(service, query, where={"_or": [{"slug": {"_eq": "x"}}] * 32768})
    assert error["extensions"]["code"] == "validation-failed"
    assert error["message"] == "the query holds more than 32767 values"


async def test_the_role_s_own_settings_do_not_matter(private: tuple[str, DataService]) -> None:
    dsn, service = private
    async with connected(dsn) as connection:
        database = await connection.fetchval("SELECT quote_ident(current_database())")
        for setting in ("search_path TO ''", "timezone TO 'Asia/Tokyo'", "datestyle TO 'German'"):
            await connection.execute(f"ALTER DATABASE {database} SET {setting}")
        await connection.execute(
            "INSERT INTO public.tenant (id, name, slug, created) VALUES"
            " ('00000000-0000-4000-8000-000000000001', 'a', 'a', '2020-01-01T00:00:00Z')"
        )
    await service.stop()
    await service.start()
    assert await ask(
        service, "{ tenant { created } utility_downstream_tasks(args: {start_task_ids: null}) { depth } }"
    ) == {
        "tenant": [{"created": "2020-01-01T00:00:00+00:00"}],
        "utility_downstream_tasks": [],
    }


async def test_null_collapse_can_be_switched_off(world_url: str) -> None:
    service = DataService(server_settings(data=data_settings(null_collapse=False)), world_url, METADATA)
    await service.start()
    error = await ask(service, "{ tenant(where: {name: {_eq: null}}) { id } }")
    assert error["extensions"] == {"path": "$.selectionSet.tenant.args.where.name._eq", "code": "validation-failed"}
    await service.stop()


async def test_a_schema_change_is_seen_after_a_reload(private: tuple[str, DataService], tmp_path: Path) -> None:
    dsn, service = private
    async with connected(dsn) as connection:
        await connection.execute("ALTER TABLE tenant ADD COLUMN motto text")
    query = "{ tenant { motto } }"
    assert (await ask(service, query))["extensions"]["code"] == "validation-failed"
    await service.reload()
    assert await ask(service, query) == {"tenant": []}


async def test_metadata_that_does_not_fit_is_refused_at_start(world_url: str, tmp_path: Path) -> None:
    metadata = tmp_path / "broken.yaml"
    metadata.write_text("tables:\n- table: tenant\n- table: nope\n")
    with pytest.raises(ConfigError, match=r"broken\.yaml line 3: there is no table public\.nope"):
        await DataService(server_settings(), world_url, metadata).start()


async def test_equal_requests_at_once_are_answered_alike(service: DataService) -> None:
    query = "{ flow(order_by: {id: asc}) { id tasks { id } } }"
    answers = await asyncio.gather(*[ask(service, query) for _ in range(30)])
    assert all(answer == answers[0] for answer in answers)
