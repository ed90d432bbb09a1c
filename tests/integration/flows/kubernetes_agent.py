"""The client's KubernetesAgent with a cluster that exists in this process only. `kubernetes_agent.py PROJECT CONFIG_ID`
prints as JSON what became of each run.

The agent is the client's own; what it imports as `kubernetes` are stand-ins that keep the jobs it creates and show it
pods and events as a real cluster does.
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from types import ModuleType
from types import SimpleNamespace as Thing

NOBODY = "00000000-0000-4000-8000-000000000000"
BEGINNING = datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)


class ApiException(Exception):
    status = 500


class Cluster:
    """Jobs by flow run id, and what is told of their pods."""

    def __init__(self):
        self.jobs, self.pods, self.events, self.deleted, self.created = {}, {}, {}, [], {}

    def add(self, labels, name, job_spec=None):
        status = Thing(failed=None, succeeded=None)
        job = Thing(metadata=Thing(name=name, labels=labels), status=status)
        self.jobs[name] = job
        if job_spec:
            self.created[labels["prefect.io/flow_run_id"]] = (job, job_spec)
        return job

    # BatchV1Api
    def create_namespaced_job(self, namespace, body):
        self.add(body["metadata"]["labels"], body["metadata"]["name"], body)

    def list_namespaced_job(self, namespace, label_selector, limit, _continue):
        return Thing(items=list(self.jobs.values()), metadata=Thing(_continue=""))

    def delete_namespaced_job(self, name, namespace, body):
        self.deleted.append(self.jobs.pop(name).metadata.labels["prefect.io/flow_run_id"])

    # CoreV1Api
    def list_namespaced_pod(self, namespace, label_selector):
        return Thing(items=self.pods.get(label_selector.partition("=")[2], []))

    def list_namespaced_event(self, namespace, field_selector, timeout_seconds):
        return Thing(items=self.events.get(field_selector.partition("=")[2], []))

    def pod(self, run_id, phase, **state):
        """Give the job of a run a pod with one container."""
        identifier = self.created[run_id][0].metadata.labels["prefect.io/identifier"]
        states = Thing(**{**dict.fromkeys(("running", "waiting", "terminated")), **state})
        statuses = [Thing(name="flow", state=states)] if state else None
        name = f"pod-{identifier}"
        self.pods[identifier] = [
            Thing(metadata=Thing(name=name), status=Thing(phase=phase, container_statuses=statuses))
        ]
        return name


def install(cluster):
    """Make `import kubernetes` find the cluster."""
    modules = {
        name: ModuleType(name)
        for name in (
            "kubernetes",
            "kubernetes.client",
            "kubernetes.client.rest",
            "kubernetes.config",
            "kubernetes.config.config_exception",
        )
    }
    for name in ("BatchV1Api", "CoreV1Api", "AppsV1Api"):
        setattr(modules["kubernetes.client"], name, lambda: cluster)
    modules["kubernetes.client"].V1DeleteOptions = Thing
    modules["kubernetes.client.rest"].ApiException = ApiException
    modules["kubernetes.config"].load_incluster_config = lambda: None
    modules["kubernetes.config.config_exception"].ConfigException = type("ConfigException", (Exception,), {})
    for name, module in modules.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)
    sys.modules.update(modules)


def main(project, config_id):
    cluster = Cluster()
    install(cluster)
    from prefect import Client, Flow, task
    from prefect.agent.kubernetes import KubernetesAgent
    from prefect.engine.state import Running, Success
    from prefect.run_configs import KubernetesRun
    from prefect.storage import Local

    storage = Local(add_default_labels=False)
    with Flow("in a cluster", storage=storage, run_config=KubernetesRun(labels=[project])) as flow:
        task(lambda: None, name="nothing")()
    client = Client()
    flow_id = flow.register(project_name=project, no_url=True)
    names = ("image", "pending", "crashed", "succeeded", "crashed late", "waits")
    runs = {name: client.create_flow_run(flow_id=flow_id, run_name=name) for name in names}

    agent = KubernetesAgent(
        agent_config_id=config_id, name=project, labels=[project], max_polls=1, namespace="tests", env_vars={"A": "b"}
    )
    agent.start()

    for name in ("crashed", "succeeded", "crashed late"):
        client.set_flow_run_state(runs[name], state=Running())
    for name in ("succeeded", "crashed late"):
        client.set_flow_run_state(runs[name], state=Success("well"))

    cluster.pod(runs["image"], "Pending", waiting=Thing(reason="ImagePullBackOff", message="no such image"))
    slow = cluster.pod(runs["pending"], "Pending")
    cluster.events[slow] = [
        Thing(reason="Pulling", message="pulling", last_timestamp=BEGINNING + timedelta(seconds=1)),
        Thing(reason="Scheduled", message="node 1", last_timestamp=BEGINNING),
        Thing(reason="Unknown", message="no time", last_timestamp=None),
    ]
    died = Thing(exit_code=137, message=None, reason="OOMKilled", signal=9)
    for name in ("crashed", "crashed late"):
        cluster.pod(runs[name], "Failed", terminated=died)
        cluster.created[runs[name]][0].status.failed = 1
    cluster.created[runs["succeeded"]][0].status.succeeded = 1
    cluster.add({"prefect.io/flow_run_id": NOBODY, "prefect.io/identifier": "x"}, "of nobody")
    cluster.add({}, "of another program")

    # As the agent's thread does every minute.
    agent.heartbeat()
    cluster.events[slow].append(
        Thing(reason="Pulled", message="pulled", last_timestamp=BEGINNING + timedelta(seconds=2))
    )
    agent.heartbeat()

    spec = cluster.created[runs["waits"]][1]["spec"]["template"]["spec"]["containers"][0]
    told = {
        "runs": runs,
        "agent_id": agent.client._attached_headers["X-PREFECT-AGENT-ID"],
        "agent_config": dict(agent.agent_config),
        "states": {name: type(client.get_flow_run_state(run_id)).__name__ for name, run_id in runs.items()},
        "deleted": [name for name, run_id in runs.items() if run_id in cluster.deleted],
        "kept": sorted(job.metadata.name for job in cluster.jobs.values() if job.metadata.name.startswith("of ")),
        "image": spec["image"],
        "args": spec["args"],
        "env": {entry["name"]: entry["value"] for entry in spec["env"]},
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
