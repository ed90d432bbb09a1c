"""docker-compose.yml says what the code understands. (No Docker engine runs here.)"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from server_core.cli.assemble import SERVICES
from server_core.cli.infrastructure import DEFAULT_PORT, Account
from server_core.config_loader import load_settings
from server_core.config_values import all_settings

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(filled_in((ROOT / "docker-compose.yml").read_text("utf-8")))
    return document


def filled_in(text: str) -> str:
    """Replace `${NAME:-default}` by the default, as compose does in an empty environment."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def test_it_is_what_compose_reads(compose: dict[str, Any]) -> None:
    """By the Compose Specification's own schema, which refuses what it does not know."""
    schema = json.loads(Path(__file__).with_name("schemas").joinpath("compose-spec.json").read_text("utf-8"))
    assert [error.message for error in Draft202012Validator(schema).iter_errors(compose)] == []


def test_every_service_of_ours_is_there_with_its_command(compose: dict[str, Any]) -> None:
    commands = {name: each.get("command") for name, each in compose["services"].items()}
    expected: dict[str, Any] = {name: ["services", name] for name in SERVICES}
    assert commands == {"postgres": None, "migrate": ["database", "upgrade"], **expected}


def test_only_this_machine_reaches_the_ports(compose: dict[str, Any]) -> None:
    published = [port for each in compose["services"].values() for port in each.get("ports", [])]
    assert sorted(published) == ["127.0.0.1:4200:4200", "127.0.0.1:5432:5432"]


def test_flow_run_containers_find_the_gateway_as_apollo(compose: dict[str, Any]) -> None:
    assert compose["services"]["gateway"]["networks"] == {"prefect-server": {"aliases": ["apollo"]}}
    assert compose["networks"]["prefect-server"]["name"] == "prefect-server"


def test_the_data_is_in_a_named_volume(compose: dict[str, Any]) -> None:
    assert compose["services"]["postgres"]["volumes"] == ["postgres:/var/lib/postgresql/data"]
    assert "postgres" in compose["volumes"]


def test_the_environment_is_settings_that_reach_each_other(compose: dict[str, Any], tmp_path: Path) -> None:
    known = {name for setting in all_settings() for name in setting.environment_names}
    environ = {name: str(value) for name, value in compose["services"]["gateway"]["environment"].items()}
    assert set(environ) <= known
    settings = load_settings(environ={**environ, "PREFECT_SERVER__HOME": str(tmp_path)})
    assert settings.database.connection_url == "postgresql://prefect:prefect@postgres:5432/prefect_server"
    assert settings.gateway.data_url == f"http://data:{settings.data.port}/v1alpha1/graphql"
    assert settings.gateway.graphql_url == f"http://graphql:{settings.graphql.port}{settings.graphql.path}"
    published = Account.from_environment({}).dsn(DEFAULT_PORT, "prefect")
    assert settings.database.connection_url.replace("@postgres:", "@127.0.0.1:") == published


def test_dev_infrastructure_sets_what_the_file_reads() -> None:
    """The tag of --tag, the port of --port, and who may connect."""
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    for name in ("POSTGRES_TAG", "POSTGRES_PORT", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"):
        assert f"${{{name}:-" in text


def test_what_waits_for_something_waits_for_its_health(compose: dict[str, Any]) -> None:
    for each in compose["services"].values():
        for other, wish in each.get("depends_on", {}).items():
            if wish["condition"] == "service_healthy":
                assert "healthcheck" in compose["services"][other]


def test_the_image_sets_settings_and_copies_what_there_is() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    known = {name for setting in all_settings() for name in setting.environment_names}
    assert set(re.findall(r"PREFECT_SERVER__\w+", text)) <= known
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists()
            assert f"!{source}" in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert re.search(r"^USER (?!root)", text, re.MULTILINE)


def test_what_builds_the_image_is_not_in_it() -> None:
    stages = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)[1:]
    assert re.match(r"\S+ AS build$", stages[0], re.MULTILINE)
    assert re.findall(r"^(?:COPY|ADD) (.*)$", stages[-1], re.MULTILINE) == [
        "--from=build /opt/prefect-server /opt/prefect-server"
    ]
