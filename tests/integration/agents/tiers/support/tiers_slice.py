"""A slice of real processes, from what the renderer writes: control planes with their RBAC, kubelets, agents."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import yaml
from mlsysops_agents.adapters.kubernetes import KubernetesClient
from mlsysops_agents.adapters.kubernetes.resources import (
    DEPLOYMENTS,
    MLSYSOPS_APPS,
    MLSYSOPS_CLUSTERS,
    MLSYSOPS_CONTINUUMS,
    MLSYSOPS_NODES,
    NODES,
    PODS,
    WELL_KNOWN,
    Resource,
)
from mlsysops_core.errors import MlsError, NotFound

Object = dict[str, Any]

_RBAC = "rbac.authorization.k8s.io"
RESOURCES = WELL_KNOWN | {
    "Namespace": Resource("", "v1", "namespaces", "Namespace", namespaced=False),
    "CustomResourceDefinition": Resource(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
    ),
    "Role": Resource(_RBAC, "v1", "roles", "Role"),
    "RoleBinding": Resource(_RBAC, "v1", "rolebindings", "RoleBinding"),
    "ClusterRole": Resource(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False),
    "ClusterRoleBinding": Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    "ClusterPropagationPolicy": Resource(
        "policy.karmada.io", "v1alpha1", "clusterpropagationpolicies", "ClusterPropagationPolicy", namespaced=False
    ),
}
NAMESPACE = "mlsysops"


def free_octet() -> int:
    """A second octet of 127/8 on which nobody serves."""
    for octet in random.sample(range(130, 250), 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((f"127.{octet}.0.10", 6443))
                return octet
    raise AssertionError("no free loopback address")


async def eventually(check: Callable[[], Awaitable[Any]], *, seconds: float = 40.0, what: str = "") -> Any:
    """The first true result of a check, looked at often, within a bound."""
    end = time.monotonic() + seconds
    last: Any = None
    while time.monotonic() < end:
        try:
            last = await check()
        except MlsError as exc:
            last = exc
        else:
            if last:
                return last
        await asyncio.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}; last: {last}")


class Process:
    """One process of the slice."""

    def __init__(self, name: str, arguments: list[str], log: Path) -> None:
        self.name, self.arguments, self.log = name, arguments, log
        self.popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", *self.arguments],
                stdout=log,
                stderr=log,
                cwd=self.log.parent,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self.popen is not None
        return self.popen.pid

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.popen is None:
            return 0
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        code = self.popen.wait(15)
        self.popen = None
        return code


class LocalSlice:
    """Continuum, cluster1 and its workers.

    Args:
        directory: For everything.
        workers: Names of the workers.
    """

    def __init__(self, directory: Path, workers: tuple[str, ...] = ("worker1", "worker2")) -> None:
        self.directory = directory
        self.workers = workers
        self.rendered = directory / "rendered"
        self.processes: dict[str, Process] = {}
        self.continuum: KubernetesClient
        self.member: KubernetesClient
        self._stack = contextlib.AsyncExitStack()

    # -- files -------------------------------------------------------------------------------------------------

    def inventory(self) -> Object:
        """The slice as its owner would write it."""
        workers = {name: {} for name in self.workers}
        return {
            "all": {
                "vars": {"ansible_connection": "local", "mls_slice": "tiers", "mls_engine": "embedded"},
                "children": {
                    "management_cluster": {"hosts": {"management": {"mls_cluster": "continuum"}}},
                    "cluster1": {
                        "children": {"master_nodes": {"hosts": {"server1": {}}}, "worker_nodes": {"hosts": workers}}
                    },
                },
            }
        }

    def render(self) -> None:
        """Let `mls` write every configuration and manifest, then move it to addresses and directories of our own."""
        file = self.directory / "inventory.yml"
        file.write_text(yaml.safe_dump(self.inventory()))
        environment = os.environ | {"XDG_DATA_HOME": str(self.directory), "XDG_CONFIG_HOME": str(self.directory)}
        mls = Path(sys.executable).with_name("mls")
        command = [mls, "framework", "render", "--inventory", file, "--output-dir", self.rendered]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        address = yaml.safe_load((self.rendered / "hosts/management/controlplane.yaml").read_text())["listen"][
            "address"
        ]
        old, new = f"127.{address.split('.')[1]}.", f"127.{free_octet()}."
        for path in self.rendered.rglob("*.yaml"):
            path.write_text(path.read_text().replace(old, new))
            for word in ("data_dir", "pki_dir", "state_dir"):
                self._make_parent(path, word)

        for worker in self.workers:
            runtime = Path(yaml.safe_load(self.config(worker, "kubelet").read_text())["runtime_config"])
            runtime.parent.mkdir(parents=True, exist_ok=True)
            runtime.write_bytes(self.config(worker, "runtime").read_bytes())

    def _make_parent(self, path: Path, word: str) -> None:
        for line in path.read_text().splitlines():
            if line.startswith(f"{word}: "):
                Path(line.partition(": ")[2]).parent.mkdir(parents=True, exist_ok=True)

    def config(self, host: str, name: str) -> Path:
        return self.rendered / "hosts" / host / f"{name}.yaml"

    def manifests(self, where: str) -> list[Object]:
        files = sorted((self.rendered / where).rglob("*.yaml"))
        return [item for file in files for item in yaml.safe_load_all(file.read_text()) if item]

    # -- life --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        self.render()
        for host in ("management", "server1"):
            await self._bootstrap(host)
        for host in ("management", "server1"):
            self.launch(
                f"{host}-controlplane", ["mlsysops_embedded", "controlplane"], self.config(host, "controlplane")
            )
        self.continuum = await self._connect("management")
        self.member = await self._connect("server1")
        for client, where in ((self.member, "clusters/cluster1"), (self.continuum, "continuum")):
            for item in self.manifests(where):
                await eventually(lambda client=client, item=item: self.apply(client, item), what=str(item["metadata"]))
        for worker in self.workers:
            self.launch(f"{worker}-kubelet", ["mlsysops_embedded", "kubelet"], self.config(worker, "kubelet"))
        self.start_agents()

    def start_agents(self) -> None:
        self.start_agent("management", "continuum")
        self.start_agent("server1", "cluster")
        for worker in self.workers:
            self.start_agent(worker, "node")

    def start_agent(self, host: str, tier: str) -> None:
        self.launch(f"{host}-agent", ["mlsysops_agents", tier], self.config(host, "agent"))

    def launch(self, name: str, arguments: list[str], config: Path) -> None:
        process = Process(name, [*arguments, "--config", str(config)], self.directory / f"{name}.log")
        process.start()
        self.processes[name] = process

    async def stop(self) -> None:
        for process in reversed(self.processes.values()):
            process.stop()
        await self._stack.aclose()
        self._end_pods()

    def _end_pods(self) -> None:
        """Pods outlive their kubelet by design; the test that made them ends them, and removes their control groups."""
        for state in self.directory.rglob("containers/*/*/state.json"):
            pid = yaml.safe_load(state.read_text()).get("shim")
            with contextlib.suppress(OSError):
                if pid and b"shim.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        specs = self.directory.rglob("containers/*/*/spec.json")
        groups = {Path(group) for spec in specs for group in json.loads(spec.read_text())["cgroups"]}
        end = time.monotonic() + 60
        while left := [group for group in groups if group.exists()]:
            assert time.monotonic() < end, f"control groups are left behind: {left}"
            for group in left:
                with contextlib.suppress(OSError):
                    group.rmdir()
            time.sleep(0.05)  # the kernel lets go of a group once its last process is gone
        for directory in {group.parent for group in groups}:
            with contextlib.suppress(OSError):
                directory.rmdir()  # a pod of several containers, or one that was removed already

    async def _bootstrap(self, host: str) -> None:
        command = [
            sys.executable,
            "-m",
            "mlsysops_embedded",
            "bootstrap",
            "--config",
            str(self.config(host, "bootstrap")),
        ]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
        assert await process.wait() == 0

    async def _connect(self, host: str) -> KubernetesClient:
        config = yaml.safe_load(self.config(host, "bootstrap").read_text())
        kubeconfig = next(item["path"] for item in config["kubeconfigs"] if item["user"] == "kubernetes-admin")
        client = await self._stack.enter_async_context(await KubernetesClient.connect(kubeconfig))

        async def answers() -> Object:
            return await client.list(RESOURCES["Namespace"])

        await eventually(answers, what=f"{host} answers")
        return client

    # -- objects -----------------------------------------------------------------------------------------------

    async def apply(self, client: KubernetesClient, item: Object) -> Object:
        return await client.apply(
            RESOURCES[item["kind"]], item, item["metadata"].get("namespace"), field_manager="tests"
        )

    async def deploy(self, description: Object) -> None:
        item = {
            "apiVersion": "mlsysops.eu/v1",
            "kind": "MLSysOpsApp",
            "metadata": {"name": description["name"], "namespace": NAMESPACE},
            "spec": description,
        }
        await self.apply(self.continuum, item)

    async def app(self, name: str, client: KubernetesClient | None = None) -> Object:
        return await (client or self.continuum).get(MLSYSOPS_APPS, name, NAMESPACE)

    async def status(self, name: str, client: KubernetesClient | None = None) -> Object:
        return dict((await self.app(name, client)).get("status") or {})

    async def is_phase(self, name: str, phase: str) -> Object | None:
        status = await self.status(name)
        return status if status.get("phase") == phase else None

    async def running(self, name: str, seconds: float = 60.0) -> Object:
        return dict(await eventually(lambda: self.is_phase(name, "Running"), seconds=seconds, what=f"{name} runs"))

    async def deployments(self) -> dict[str, Object]:
        items = (await self.member.list(DEPLOYMENTS, NAMESPACE))["items"]
        return {item["metadata"]["name"]: item for item in items}

    async def pods(self) -> dict[str, Object]:
        items = (await self.member.list(PODS, NAMESPACE))["items"]
        return {item["metadata"]["name"]: item for item in items}

    async def gone(self, resource: Resource, name: str, client: KubernetesClient) -> bool:
        try:
            await client.get(resource, name, NAMESPACE)
        except NotFound:
            return True
        return False

    async def all_ready(self) -> bool:
        """Whether every agent and node is there."""
        status = (await self.continuum.get(MLSYSOPS_CONTINUUMS, "continuum", NAMESPACE)).get("status") or {}
        agents = {(agent["tier"], agent["name"]) for agent in status.get("agents") or () if agent["ready"]}
        wanted = {("continuum", "continuum"), ("cluster", "cluster1"), *(("node", name) for name in self.workers)}
        return wanted <= agents and status["nodes"]["ready"] == len(self.workers)


def pair_application(name: str = "test-application", **changes: Any) -> Object:
    """The pair of a server and a client, small and quick."""

    def component(kind: str, **more: Any) -> Object:
        environment = {
            "OTEL_RESOURCE_ATTRIBUTES": f"service.name={kind}-app,service.experimentid=test",
            "OTEL_SERVICE_NAME": f"{kind}-app",
        }
        return {
            "metadata": {"name": f"{kind}-app"},
            "node_placement": {"continuum_layer": ["*"]},
            "containers": [
                {
                    "image": "harbor.nbfc.io/mlsysops/test-app:latest",
                    "command": ["python", f"Tcp{kind.capitalize()}.py"],
                    "platform_requirements": {"cpu": {"requests": "100m"}, "memory": {"requests": "64Mi"}},
                    "env": [
                        {"name": "NODE_IP", "value_from": {"field_ref": {"field_path": "status.hostIP"}}},
                        {"name": "POD_IP", "value_from": {"field_ref": {"field_path": "status.podIP"}}},
                        {"name": "TELEMETRY_ENDPOINT", "value": "$(NODE_IP):43170"},
                        *({"name": key, "value": value} for key, value in environment.items()),
                        {
                            "name": "TCP_SERVER_IP",
                            "value": "$(POD_IP)" if kind == "server" else "$(SERVER_APP_SERVICE_HOST)",
                        },
                    ],
                    **({"ports": [{"container_port": 10000}]} if kind == "server" else {}),
                }
            ],
            "qos_metrics": [
                {
                    "application_metric_id": f"test_{'received' if kind == 'server' else 'sent'}_success_counter",
                    "target": 2,
                    "relation": "greater_or_equal",
                }
            ],
            **more,
        }

    return {
        "name": name,
        "cluster_placement": {"cluster_id": ["cluster1"]},
        "components": [component("server"), component("client", depends_on=["server-app"])],
        "component_interactions": [
            {"component_name1": "client-app", "type": "egress", "component_name2": "server-app"}
        ],
        "global_satisfaction": {
            "threshold": 0.7,
            "relation": "greater_than",
            "achievement_weights": [
                {"metric_id": "test_received_success_counter", "weight": 0.5},
                {"metric_id": "test_sent_success_counter", "weight": 0.5},
            ],
        },
        **changes,
    }


__all__ = [
    "MLSYSOPS_APPS",
    "MLSYSOPS_CLUSTERS",
    "MLSYSOPS_NODES",
    "NODES",
    "LocalSlice",
    "eventually",
    "pair_application",
]
