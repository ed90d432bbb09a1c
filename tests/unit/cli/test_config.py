"""`config`: what is in force, where it comes from, what is wrong with it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server_core.cli.main import app
from server_core.config_values import environment_name

runner = CliRunner()


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home of its own, for the settings of whoever runs the tests not to be there."""
    monkeypatch.setenv("PREFECT_SERVER__HOME", str(tmp_path))
    return tmp_path


def test_each_setting_is_shown_with_its_source_and_no_secret(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    (home / "config.toml").write_text('[database]\npassword = "hush"\nhost = "db"\n[graphql]\nport = 9\n')
    monkeypatch.setenv("APOLLO_API_PORT", "5")
    lines = runner.invoke(app, ["config", "show"]).stdout.splitlines()
    assert "gateway.port = 5    # environment variable APOLLO_API_PORT" in lines
    assert f"graphql.port = 9    # `graphql.port` in {home / 'config.toml'}" in lines
    assert "data.port = 3000" in lines
    assert f"database.password = ***    # `database.password` in {home / 'config.toml'}" in lines
    made = "postgresql://prefect:***@db:5432/prefect_server    # made of database.host, database.password"
    assert f"database.connection_url = {made}" in lines
    assert "gateway.graphql_url = http://127.0.0.1:9/graphql/    # made of graphql.port and graphql.path" in lines
    assert not any("hush" in line for line in lines)


def test_a_program_gets_json_of_what_differs_from_the_defaults(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("PREFECT_SERVER__DATABASE__CONNECTION_URL", "postgresql://u:hush@h/d?sslpassword=hush")
    shown = json.loads(runner.invoke(app, ["config", "show", "--json", "--changed"]).stdout)
    assert shown["database.connection_url"]["value"] == "postgresql://u:***@h/d?sslpassword=***"
    assert set(shown) == {"home", "database.connection_url"}


@pytest.mark.parametrize(
    ("key", "url", "shown"),
    [
        ("database.direct_url", "postgresql://u:hush@h:5432/d", "postgresql://u:***@h:5432/d"),
        ("gateway.data_url", "https://u:hush@h/v1/graphql?a=b@c", "https://***@h/v1/graphql?a=b@c"),
        ("tracing.endpoint", "http://hush@h:4318/v1/traces", "http://***@h:4318/v1/traces"),
        ("gateway.graphql_url", "http://h:4201/graphql/", "http://h:4201/graphql/"),
    ],
)
def test_credentials_in_urls_are_not_shown(monkeypatch: pytest.MonkeyPatch, key: str, url: str, shown: str) -> None:
    monkeypatch.setenv(environment_name(key), url)
    document = json.loads(runner.invoke(app, ["config", "show", "--json", "--changed"]).stdout)
    assert document[key]["value"] == shown


def test_all_mistakes_are_listed_at_once(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    (home / "config.toml").write_text('[gatewy]\nport = 1\n[logging]\nlevel = "LOUD"\n')
    monkeypatch.setenv("PREFECT_SERVER__GATEWAY__PORT", "x")
    monkeypatch.setenv("PREFECT_SERVER__GATEWAY__HOTS", "h")
    result = runner.invoke(app, ["config", "check"])
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "gateway.port: 'x' is not a whole number (environment variable PREFECT_SERVER__GATEWAY__PORT)",
        "logging.level: 'LOUD' is none of DEBUG, INFO, WARNING, ERROR, CRITICAL"
        f" (`logging.level` in {home / 'config.toml'})",
        f"{home / 'config.toml'}: unknown key `gatewy.port`; did you mean gateway.port?",
        "unknown environment variable PREFECT_SERVER__GATEWAY__HOTS; did you mean PREFECT_SERVER__GATEWAY__HOST?",
    ]


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("DATABASE__CONNECTION_URL", "mysql://h/d", "database.connection_url must start with postgresql://"),
        ("TOWEL__LOOPS", "lazarus,ui", "towel.loops: unknown loop 'ui'; the loops are scheduler, lazarus, "),
        ("USER_CONFIG_PATH", "/nowhere/config.toml", "The user file /nowhere/config.toml does not exist."),
    ],
)
def test_what_can_be_read_but_not_used_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, line: str
) -> None:
    monkeypatch.setenv(f"PREFECT_SERVER__{name}", value)
    result = runner.invoke(app, ["config", "check"])
    assert (result.exit_code, result.stdout.startswith(line)) == (1, True), result.stdout


def test_good_settings_pass() -> None:
    result = runner.invoke(app, ["config", "check"])
    assert (result.exit_code, result.stdout) == (0, "The settings can be used.\n")
