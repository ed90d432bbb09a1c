"""What examples/ says is what the code understands: settings, commands, ports, paths."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from jsonschema import Draft202012Validator

from server_core.cli.main import app
from server_core.config import Settings
from server_core.config_values import all_settings

EXAMPLES = Path(__file__).parents[3] / "examples"
FILES = [path for path in sorted(EXAMPLES.rglob("*")) if path.is_file() and "nginx" not in path.parts]
PORTS = {
    "gateway": Settings().gateway.port,
    "data": Settings().data.port,
    "graphql": Settings().graphql.port,
    "towel": Settings().towel.port,
}
PATHS = {"gateway": {"/health", "/ready"}, "data": {"/health", "/healthz", "/ready"}, "graphql": {"/health", "/ready"}}


@pytest.fixture(scope="module")
def manifests() -> dict[tuple[str, str], dict[str, Any]]:
    """Kubernetes objects by kind and name."""
    text = (EXAMPLES / "kubernetes" / "prefect-server.yaml").read_text("utf-8")
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(text)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_settings_are_settings(path: Path) -> None:
    known = {name for setting in all_settings() for name in setting.environment_names}
    assert set(re.findall(r"PREFECT_SERVER__\w+", path.read_text("utf-8"))) <= known


def parses(arguments: list[str]) -> bool:
    """Tell whether our command line understands the arguments; nothing is run."""
    command: Any = typer.main.get_command(app)
    context = None
    while True:
        context = command.make_context(arguments[0] if arguments else "", list(arguments), parent=context)
        if not hasattr(command, "commands"):
            return True
        _, command, arguments = command.resolve_command(context, [*context._protected_args, *context.args])


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("systemd/prefect-server.service", r"ExecStart=\S+/prefect-server (.*)"),
        ("supervisord/supervisord.conf", r"command=%\(ENV_PREFECT_SERVER\)s (.*)"),
    ],
)
def test_commands_are_ours(path: str, pattern: str) -> None:
    found = re.findall(pattern, (EXAMPLES / path).read_text("utf-8"))
    assert found
    assert all(parses(shlex.split(command.replace("%(ENV_PORT)s", "4200"))) for command in found)


def test_manifests_are_what_kubernetes_takes(manifests: dict[tuple[str, str], dict[str, Any]]) -> None:
    """By Kubernetes' own definitions, in which no unknown field is allowed."""
    schemas = json.loads(Path(__file__).with_name("schemas").joinpath("kubernetes.json").read_text("utf-8"))
    known = {
        (kind["group"], kind["version"], kind["kind"]): name
        for name, definition in schemas["$defs"].items()
        for kind in definition.get("x-kubernetes-group-version-kind", [])
    }
    for manifest in manifests.values():
        group, _, version = manifest["apiVersion"].rpartition("/")
        reference = f"#/$defs/{known[group, version, manifest['kind']]}"
        validator = Draft202012Validator({**schemas, "$ref": reference})
        assert [error.message for error in validator.iter_errors(manifest)] == []


def test_replicas_are_what_the_services_say(manifests: dict[tuple[str, str], dict[str, Any]]) -> None:
    for name, port in PORTS.items():
        deployment = manifests["Deployment", f"prefect-server-{name}"]["spec"]
        pod = deployment["template"]
        (container,) = pod["spec"]["containers"]
        assert deployment["replicas"] == 3
        assert deployment["selector"]["matchLabels"] == pod["metadata"]["labels"]
        assert container["args"] == ["services", name]
        assert parses(container["args"])
        assert container["ports"] == [{"containerPort": port}]
        for probe in ("readinessProbe", "livenessProbe"):
            if probe in container:
                asked = container[probe]["httpGet"]
                assert asked["port"] == port
                assert asked["path"] in PATHS.get(name, {"/health"})
        for source in container["envFrom"]:
            ((kind, reference),) = source.items()
            assert ({"secretRef": "Secret", "configMapRef": "ConfigMap"}[kind], reference["name"]) in manifests
        if name != "towel":
            service = manifests["Service", f"prefect-server-{name}"]["spec"]
            assert service["selector"] == pod["metadata"]["labels"]
            assert service["ports"] == [{"port": port, "targetPort": port}]


def test_the_gateway_of_kubernetes_finds_its_upstreams(manifests: dict[tuple[str, str], dict[str, Any]]) -> None:
    data = manifests["ConfigMap", "prefect-server"]["data"]
    usual = Settings()
    assert data == {
        "PREFECT_SERVER__GATEWAY__DATA_URL": usual.gateway.data_url.replace("127.0.0.1", "prefect-server-data"),
        "PREFECT_SERVER__GATEWAY__GRAPHQL_URL": usual.gateway.graphql_url.replace(
            "127.0.0.1", "prefect-server-graphql"
        ),
    }


def test_migrations_are_a_job(manifests: dict[tuple[str, str], dict[str, Any]]) -> None:
    (container,) = manifests["Job", "prefect-server-migrate"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["database", "upgrade"]
    assert parses(container["args"])


def test_the_image_asks_the_usual_ports_for_its_health() -> None:
    text = (EXAMPLES.parent / "Dockerfile").read_text("utf-8")
    command = json.loads(re.search(r"HEALTHCHECK .* CMD (\[.*?\])\n", text.replace("\\\n", " "))[1])  # type: ignore[index]
    assert command[:2] == ["python", "-c"]
    compile(command[2], "HEALTHCHECK", "exec")
    assert {int(port) for port in re.findall(r"\b\d{4}\b", command[2])} == set(PORTS.values())
    assert {int(port) for port in re.findall(r"\d{4}", re.search(r"EXPOSE (.*)", text)[1])} == set(PORTS.values())  # type: ignore[index]
