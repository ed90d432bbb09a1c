"""The agents that start containers, with the real agent and a stand-in for what runs them (client-operations.md §4)."""

from typing import Any
from uuid import UUID

from tests.support.prefect_client import BEATING_THREAD, PrefectClient
from tests.support.receiver import Received, receiving
from tests.support.runs import history
from tests.support.whole_server import Server

TAKEN = ["Scheduled", "Submitted"]


async def logs_of(server: Server, run_id: str) -> list[dict[str, Any]]:
    """Return the log lines of a run that no task wrote, in the order of their times."""
    rows = await server.rows(
        "SELECT name, level, message, timestamp FROM log WHERE flow_run_id = $1 ORDER BY timestamp, created",
        UUID(run_id),
    )
    return [dict(row) for row in rows]


async def test_the_kubernetes_agent_watches_its_jobs(server: Server, client: PrefectClient, project: str) -> None:
    """§4.3: what happens to jobs becomes states and log lines of their runs; what is finished stays as it is."""
    tenant_id = str(await server.value("SELECT tenant_id FROM project WHERE name = $1", project))
    settings = {"namespace": "tests", "deep": {"list": [1, None]}}
    config = await server.mutate("create_agent_config", tenant_id=tenant_id, name=project, settings=settings)
    told = await client.answers("kubernetes_agent.py", project, config["id"])

    assert told["agent_config"] == settings
    [agent] = await server.rows("SELECT * FROM agent WHERE id = $1", UUID(told["agent_id"]))
    assert (agent["type"], agent["name"], agent["labels"]) == ("KubernetesAgent", project, [project])
    assert str(agent["agent_config_id"]) == config["id"]

    assert told["states"] == {
        "image": "Failed",
        "pending": "Submitted",
        "crashed": "Failed",
        "succeeded": "Success",
        "crashed late": "Success",
        "waits": "Submitted",
    }
    assert told["deleted"] == ["image", "crashed", "succeeded", "crashed late"]
    assert told["kept"] == ["of another program", "of nobody"]
    assert (told["image"], told["args"]) == ("prefecthq/prefect:1.4.1", ["prefect", "execute", "flow-run"])
    assert told["env"]["A"] == "b"
    assert told["env"]["PREFECT__CLOUD__API"] == server.url
    assert told["env"]["PREFECT__CONTEXT__FLOW_RUN_ID"] == told["runs"]["waits"]

    runs = told["runs"]
    assert await history(server, runs["image"]) == [*TAKEN, "Failed"]
    assert await history(server, runs["crashed"]) == [*TAKEN, "Running", "Failed"]
    assert await history(server, runs["crashed late"]) == [*TAKEN, "Running", "Success"]
    message = await server.value("SELECT state_message FROM flow_run WHERE id = $1", UUID(runs["image"]))
    assert message == "Kubernetes Error: no such image"
    agents = await server.rows(
        "SELECT DISTINCT agent_id FROM flow_run WHERE id = ANY($1)", [UUID(id) for id in runs.values()]
    )
    assert [row["agent_id"] for row in agents] == [agent["id"]]

    events = [log for log in await logs_of(server, runs["pending"]) if log["name"] == "k8s-infra"]
    assert {log["level"] for log in events} == {"DEBUG"}
    seen = dict.fromkeys((log["timestamp"].isoformat(), log["message"].split("'")[1]) for log in events)
    assert list(seen) == [
        ("2024-05-01T12:00:00.123456+00:00", "Scheduled"),
        ("2024-05-01T12:00:01.123456+00:00", "Pulling"),
        ("2024-05-01T12:00:02.123456+00:00", "Pulled"),
    ]
    for name in ("crashed", "crashed late"):
        [death] = [log for log in await logs_of(server, runs[name]) if log["name"] == "k8s-infra"]
        assert death["level"] == "ERROR"
        assert all(text in death["message"] for text in ("Exit Code:: 137", "OOMKilled", "Signal: 9"))
    [submitted] = await logs_of(server, runs["waits"])
    assert (submitted["name"], submitted["level"]) == (project, "INFO")
    assert submitted["message"].startswith("Submitted for execution: Job prefect-job-")


async def test_the_docker_agent_starts_containers(server: Server, client: PrefectClient, project: str) -> None:
    """§4.2, §4.3: a container per run, with all in it that `execute flow-run` needs; a failure fails its run."""

    def daemon(request: Received) -> tuple[int, object]:
        """Answer as a Docker daemon that cannot make containers of one image."""
        path = request.path.partition("?")[0]
        if path.endswith("/version"):
            return 200, {"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.10.0"}
        if path.endswith("/_ping"):
            return 200, "OK"
        if path.endswith("/containers/create"):
            if request.json["Image"] == "broken":
                return 500, {"message": "no space left on device"}
            return 201, {"Id": "c0ffee", "Warnings": []}
        assert path.endswith("/containers/c0ffee/start"), path
        return 204, {}

    flows = await client.answers("containers.py", project, project, "works", "broken", "local")
    runs = {}
    for image, flow_id in flows.items():
        run = await server.mutate("create_flow_run", flow_id=flow_id, flow_run_name=f"of {image}")
        runs[image] = run["id"]
    async with receiving(daemon) as docker:
        options = ("--base-url", f"tcp://127.0.0.1:{docker.port}", "--label", project, "--name", project)
        here = {"PREFECT__SERVER__ENDPOINT": server.url.replace("127.0.0.1", "localhost")}
        said = await client.prefect("agent", "docker", "start", *options, "--max-polls", "1", env=here)

    [agent] = await server.rows("SELECT * FROM agent WHERE name = $1", project)
    assert (agent["type"], agent["labels"]) == ("DockerAgent", [project])
    assert await history(server, runs["works"]) == TAKEN, said
    assert [log["message"] for log in await logs_of(server, runs["works"])] == [
        "Submitted for execution: Container ID: c0ffee"
    ]
    assert await history(server, runs["broken"]) == [*TAKEN, "Failed"]
    assert await history(server, runs["local"]) == [*TAKEN, "Failed"]
    for image, reason in (("broken", "no space left on device"), ("local", "only `DockerRun` is supported")):
        [log] = await logs_of(server, runs[image])
        assert (log["level"], log["name"]) == ("ERROR", project)
        assert reason in log["message"]
        message = await server.value("SELECT state_message FROM flow_run WHERE id = $1", UUID(runs[image]))
        assert reason in message

    containers = [request.json for request in docker.received if "/containers/create" in request.path]
    [made] = [container for container in containers if container["Image"] == "works"]
    assert made["Labels"]["io.prefect.flow-run-id"] == runs["works"]
    env = dict(entry.split("=", 1) for entry in made["Env"])
    assert env["GIVEN"] == "by the flow"
    # The name of this machine from inside a container, had there been one.
    assert env["PREFECT__CLOUD__API"].startswith("http://host.docker.internal:")
    env["PREFECT__CLOUD__API"] = server.url
    program, *arguments = made["Cmd"]
    assert program == "prefect"
    await client.prefect(*arguments, env={**env, **BEATING_THREAD})
    assert await history(server, runs["works"]) == [*TAKEN, "Running", "Success"]
