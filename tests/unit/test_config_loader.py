"""The settings loader: names, precedence, values, references, refusals."""

import logging
from pathlib import Path
from typing import Any

import pytest

from server_core.config import Settings
from server_core.config_loader import compose_dsn, load_settings
from server_core.config_values import all_settings, environment_name
from server_core.errors import ConfigError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def load(home: Path, toml: str = "", **environ: str) -> Settings:
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(toml)
    return load_settings(environ={"PREFECT_SERVER__HOME": str(home), **environ})


def value(settings: Settings, key: str) -> Any:
    found: Any = settings
    for part in key.split("."):
        found = getattr(found, part)
    return found


def test_nothing_given_is_the_defaults(home: Path) -> None:
    settings = load(home)
    assert settings == Settings(home=home)
    assert settings.gateway.host == settings.data.host == settings.graphql.host == "127.0.0.1"
    assert settings.database.connection_url is None


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_settings(environ={}).home == tmp_path / ".prefect_server"
    assert load_settings(environ={"PREFECT_SERVER__HOME": "~/x"}).home == tmp_path / "x"


@pytest.mark.parametrize(
    ("environ", "toml", "port"),
    [
        ({}, "", 4200),
        ({}, "[services.apollo]\nport = 1", 1),
        ({}, "[services.apollo]\nport = 1\n[services.gateway]\nport = 2", 2),
        ({}, "[services.apollo]\nport = 1\n[gateway]\nport = 3", 3),
        ({"APOLLO_API_PORT": "4"}, "[gateway]\nport = 3", 4),
        ({"APOLLO_API_PORT": "4", "PREFECT_SERVER__SERVICES__APOLLO__PORT": "5"}, "", 5),
        ({"APOLLO_API_PORT": "4", "PREFECT_SERVER__GATEWAY__PORT": "6"}, "[gateway]\nport = 3", 6),
        ({"APOLLO_API_PORT": ""}, "", 4200),
        ({"apollo_api_port": "7", "prefect_server__gateway__port": "7"}, "", 4200),
    ],
)
def test_environment_wins_over_file_and_own_name_over_alias(
    home: Path, environ: dict[str, str], toml: str, port: int
) -> None:
    assert load(home, toml, **environ).gateway.port == port


LEGACY = [
    ("core_version_cutoff", "0.7.0", "core_version_cutoff", "0.7.0"),
    ("queued_runs_returned_limit", 7, "queued_runs_returned_limit", 7),
    ("insert_many_batch_size", 7, "insert_many_batch_size", 7),
    ("artifacts_max_payload_bytes", 7, "artifacts_max_payload_bytes", 7),
    ("api.url", "http://a:1", "api.url", "http://a:1"),
    ("database.connection_url", "postgresql://a", "database.connection_url", "postgresql://a"),
    ("hasura.port", 3001, "data.port", 3001),
    ("hasura.graphql_url", "http://h:1/g", "gateway.data_url", "http://h:1/g"),
    ("logging.level", "DEBUG", "logging.level", "DEBUG"),
    ("services.host", "192.0.2.1", "gateway.host", "192.0.2.1"),
    ("services.host", "192.0.2.1", "data.host", "192.0.2.1"),
    ("services.host", "192.0.2.1", "graphql.host", "192.0.2.1"),
    ("services.apollo.port", 1, "gateway.port", 1),
    ("services.graphql.host", "::1", "graphql.host", "::1"),
    ("services.graphql.port", 1, "graphql.port", 1),
    ("services.graphql.path", "/g/", "graphql.path", "/g/"),
    ("services.graphql.timeout_keep_alive", 9, "graphql.keep_alive_seconds", 9),
    ("services.lazarus.resurrection_attempt_limit", 9, "towel.resurrection_attempt_limit", 9),
    ("services.towel.max_scheduled_runs_per_flow", 9, "towel.max_scheduled_runs_per_flow", 9),
    ("hasura.host", "hasura", "gateway.data_url", "http://hasura:3000/v1alpha1/graphql"),
    ("hasura.ws_url", "ws://x", "data.port", 3000),
    ("hasura.execute_retry_seconds", 3, "data.port", 3000),
    ("telemetry.enabled", True, "home", None),
    ("services.graphql.debug", True, "home", None),
    ("services.graphql.disable_access_logs", True, "logging.access_log", False),
    ("state_colors.Running", "#fff", "home", None),
    ("env", "local", "home", None),
    ("dev", False, "home", None),
    ("debug", True, "home", None),
]


@pytest.mark.parametrize(("legacy", "given", "key", "expected"), LEGACY, ids=[f"{row[0]}-{row[2]}" for row in LEGACY])
@pytest.mark.parametrize("source", ["file", "environment"])
def test_legacy_keys_are_understood_or_tolerated_in_silence(
    home: Path, caplog: pytest.LogCaptureFixture, source: str, legacy: str, given: Any, key: str, expected: Any
) -> None:
    if source == "environment":
        settings = load(home, **{environment_name(legacy): str(given)})
    else:
        table, _, name = legacy.rpartition(".")
        written = str(given).lower() if isinstance(given, bool) else repr(given)
        settings = load(home, (f"[{table}]\n" if table else "") + f"{name} = {written}")
    assert value(settings, key) == (home if expected is None else expected)
    assert not caplog.messages


@pytest.mark.parametrize(
    ("name", "text", "key", "expected"),
    [
        ("APOLLO_API_BIND_ADDRESS", "192.0.2.1", "gateway.host", "192.0.2.1"),
        ("APOLLO_API_BODY_LIMIT", "5mb", "gateway.body_limit_bytes", 5 * 1024 * 1024),
        ("APOLLO_API_BODY_LIMIT", "1.5 KB", "gateway.body_limit_bytes", 1536),
        *(
            ("APOLLO_API_BODY_LIMIT", text, "gateway.body_limit_bytes", size)
            for text, size in (
                ("1000", 1000),
                ("1000b", 1000),
                ("5MB", 5 * 2**20),
                ("5 MiB", 5 * 2**20),
                ("5m", 5 * 2**20),
                ("+5mb", 5 * 2**20),
                ("0.5mb", 2**19),
                ("5242880.0", 5 * 2**20),
                ("1gb", 2**30),
                ("1TB", 2**40),
            )
        ),
        ("APOLLO_API_ENABLE_PLAYGROUND", "FALSE", "gateway.playground", False),
        ("APOLLO_KEEPALIVE_TIMEOUT", "65", "gateway.keep_alive_seconds", 65),
        ("HASURA_API_URL", "http://h:3000/v1alpha1/graphql", "gateway.data_url", "http://h:3000/v1alpha1/graphql"),
        ("PREFECT_API_URL", "http://g:4201/graphql/", "gateway.graphql_url", "http://g:4201/graphql/"),
        ("PREFECT_SERVER__LOGGING__LEVEL", "warning", "logging.level", "WARNING"),
        ("PREFECT_SERVER__DATA__NULL_COLLAPSE", "tRuE", "data.null_collapse", True),
        ("PREFECT_SERVER__DATA__NULL_COLLAPSE", "0", "data.null_collapse", False),
        ("PREFECT_SERVER__GATEWAY__PORT", "0x10", "gateway.port", 16),
        ("PREFECT_SERVER__GATEWAY__PORT", "'17'", "gateway.port", 17),
        ("PREFECT_SERVER__TOWEL__LAZARUS_INTERVAL_SECONDS", "1", "towel.lazarus_interval_seconds", 1.0),
        ("PREFECT_SERVER__API__URL", "'quoted'", "api.url", "quoted"),
        ("PREFECT_SERVER__API__URL", "'no", "api.url", "'no"),
        ("PREFECT_SERVER__CORE_VERSION_CUTOFF", "1.10", "core_version_cutoff", "1.10"),
        ("PREFECT_SERVER__DATABASE__CONNECTION_URL", "None", "database.connection_url", None),
    ],
)
def test_an_environment_value_is_a_literal_else_a_string(
    home: Path, name: str, text: str, key: str, expected: Any
) -> None:
    found = value(load(home, **{name: text}), key)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("password", ["0012", "1_000", "true", "None ", "p@:/%#?&= ü", "[::1]", "$x", "a$${b}"])
def test_a_password_stays_what_it_is(home: Path, password: str) -> None:
    assert load(home, PREFECT_SERVER__DATABASE__PASSWORD=password).database.password == password.replace("$$", "$")


BAD = [
    ("PREFECT_SERVER__GATEWAY__PORT", "x", "gateway.port", "'x' is not a whole number"),
    ("PREFECT_SERVER__GATEWAY__PORT", "65536", "gateway.port", "65536 is more than 65535"),
    ("APOLLO_API_PORT", "-1", "gateway.port", "-1 is less than 0"),
    ("PREFECT_SERVER__GATEWAY__PORT", "true", "gateway.port", "True is not a whole number"),
    ("PREFECT_SERVER__GATEWAY__PORT", "1.5", "gateway.port", "1.5 is not a whole number"),
    ("PREFECT_SERVER__GATEWAY__PORT", "None", "gateway.port", "needs a value"),
    ("PREFECT_SERVER__GATEWAY__PORT", "[1]", "gateway.port", "[1] is not a whole number"),
    ("PREFECT_SERVER__GATEWAY__PLAYGROUND", "yes", "gateway.playground", "'yes' is not true or false"),
    ("PREFECT_SERVER__LOGGING__LEVEL", "LOUD", "logging.level", "'LOUD' is none of DEBUG, INFO"),
    ("PREFECT_SERVER__DATABASE__POOL_SIZE", "0", "database.pool_size", "0 is less than 1"),
    ("PREFECT_SERVER__TOWEL__LAZARUS_INTERVAL_SECONDS", "1e999", "towel.lazarus_interval_seconds", "inf is not a"),
    ("PREFECT_SERVER__TOWEL__LAZARUS_INTERVAL_SECONDS", "1e18", "towel.lazarus_interval_seconds", "1e+18 is more than"),
    ("PREFECT_SERVER__TOWEL__LAZARUS_BATCH_SIZE", "9" * 20, "towel.lazarus_batch_size", "9" * 20 + " is more than"),
    (
        "PREFECT_SERVER__TOWEL__MAX_SCHEDULED_RUNS_PER_FLOW",
        "3000000000",
        "towel.max_scheduled_runs_per_flow",
        "3000000000 is more than 10000",
    ),
    ("PREFECT_SERVER__RETENTION__KEPT_FLOW_RUNS", "9" * 20, "retention.kept_flow_runs", "9" * 20 + " is more than"),
    ("APOLLO_API_BODY_LIMIT", "5 elephants", "gateway.body_limit_bytes", "'5 elephants' is not a whole number"),
    ("PREFECT_SERVER__API__URL", "${a.b}", "api.url", "refers to ${a.b}, which is not set"),
    ("PREFECT_SERVER__API__URL", "${api.url}", "api.url", "refers to itself through ${api.url}"),
]


@pytest.mark.parametrize(("name", "text", "key", "problem"), BAD)
def test_a_bad_value_names_the_key_and_where_it_came_from(
    home: Path, name: str, text: str, key: str, problem: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load(home, **{name: text})
    assert refused.value.message.startswith(f"{key}: {problem}")
    assert refused.value.message.endswith(f"(environment variable {name})")


def test_a_bad_value_in_the_file_names_the_file_and_the_alias(home: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load(home, "[services.apollo]\nport = [1]")
    expected = f"gateway.port: [1] is not a whole number (`services.apollo.port` in {home / 'config.toml'})"
    assert refused.value.message == expected


def test_a_secret_is_neither_in_messages_nor_in_the_repr(home: Path) -> None:
    settings = load(home, PREFECT_SERVER__DATABASE__PASSWORD="hush", PREFECT_SERVER__DATABASE__HOST="h")
    assert "hush" not in repr(settings)
    with pytest.raises(ConfigError) as refused:
        load(home, "[database]\npassword = ['hush']")
    assert "hush" not in refused.value.message


def test_references_are_filled_in(home: Path) -> None:
    settings = load(
        home,
        """
        [api]
        url = "http://${mine.host}:${gateway.port}/$${x}"
        [mine]
        host = "${services.graphql.host}"
        [graphql]
        host = "10.0.0.1"
        port = "${services.apollo.port}"
        """,
        APOLLO_API_PORT="77",
    )
    assert settings.api.url == "http://10.0.0.1:77/${x}"
    assert settings.graphql.port == 77


def test_a_circle_of_references_is_refused(home: Path) -> None:
    with pytest.raises(ConfigError, match="itself"):
        load(home, '[gateway]\ndata_url = "${gateway.graphql_url}"\ngraphql_url = "${gateway.data_url}"')


@pytest.mark.parametrize(
    ("toml", "warning"),
    [
        ("[gateway]\nprot = 1", "unknown key `gateway.prot`; did you mean gateway.port?"),
        (
            "[databse]\nconnection_url = 'x'",
            "unknown key `databse.connection_url`; did you mean database.connection_url",
        ),
        ("zzz = 1", "unknown key `zzz`"),
    ],
)
def test_an_unknown_key_is_reported_and_ignored(
    home: Path, caplog: pytest.LogCaptureFixture, toml: str, warning: str
) -> None:
    with caplog.at_level(logging.WARNING):
        assert load(home, toml) == Settings(home=home)
    assert len(caplog.messages) == 1
    assert warning in caplog.messages[0]


def test_an_unknown_environment_name_is_reported(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    load(home, PREFECT_SERVER__GATEWAY__PROT="1", PREFECT_SERVER_VERSION="x", OTHER="y")
    expected = "unknown environment variable PREFECT_SERVER__GATEWAY__PROT; did you mean PREFECT_SERVER__GATEWAY__PORT?"
    assert caplog.messages == [expected]


def test_the_user_file_may_be_elsewhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "x.toml"
    elsewhere.write_text("[gateway]\nport = 1")
    environ = {"PREFECT_SERVER__USER_CONFIG_PATH": str(elsewhere)}
    assert load_settings(environ=environ).gateway.port == 1
    assert load_settings(environ={}, user_file=elsewhere).gateway.port == 1
    elsewhere.unlink()
    with pytest.raises(ConfigError, match="does not exist"):
        load_settings(environ=environ)


def test_a_broken_user_file_is_one_line(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.toml is not valid TOML: .*line 1"):
        load(home, "gateway]\nport = 1")


@pytest.mark.parametrize(
    ("parts", "dsn"),
    [
        ({"password": "p@:/%"}, "postgresql://prefect:p%40%3A%2F%25@localhost:5432/prefect_server"),
        ({"host": "db", "port": 1, "name": "n/m", "username": "u@x"}, "postgresql://u%40x@db:1/n%2Fm"),
        ({"host": "::1"}, "postgresql://prefect@[::1]:5432/prefect_server"),
        ({"host": "/var/run"}, "postgresql://prefect@/prefect_server?host=%2Fvar%2Frun&port=5432"),
    ],
)
def test_a_dsn_is_made_of_parts(home: Path, parts: dict[str, Any], dsn: str) -> None:
    assert compose_dsn(**parts) == dsn
    environ = {environment_name(f"database.{name}"): str(part) for name, part in parts.items()}
    assert load(home, **environ).database.connection_url == dsn
    whole = {"PREFECT_SERVER__DATABASE__CONNECTION_URL": "postgresql://whole"}
    assert load(home, **environ, **whole).database.connection_url == "postgresql://whole"


def test_the_gateway_follows_the_ports_of_its_upstreams(home: Path) -> None:
    settings = load(home, "[data]\nport = 1\n[graphql]\nport = 2\npath = '/g/'")
    assert settings.gateway.data_url == "http://127.0.0.1:1/v1alpha1/graphql"
    assert settings.gateway.graphql_url == "http://127.0.0.1:2/g/"


def test_every_setting_is_documented_and_its_names_are_its_own() -> None:
    names = [name for setting in all_settings() for name in setting.environment_names]
    shared = {name for name in names if names.count(name) > 1}
    assert shared == {"PREFECT_SERVER__SERVICES__HOST"}
    assert all(setting.doc.endswith(".") for setting in all_settings())
