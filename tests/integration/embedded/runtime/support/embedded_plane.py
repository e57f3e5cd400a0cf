"""Real control planes and kubelets as processes on loopback addresses of their own, and conditions to wait for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import yaml
from mlsysops_embedded.client import HttpClient, Object, Resource
from mlsysops_embedded.client.resources import NAMESPACES, NODES, PODS
from mlsysops_embedded.errors import ApiError

PROGRAM = "local/python"


def free_slice() -> int:
    """A second octet of 127/8 on which nobody serves."""
    for octet in random.sample(range(130, 250), 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((f"127.{octet}.0.1", 6443))
                return octet
    raise AssertionError("no free loopback address")


async def eventually(check: Callable[[], Awaitable[Any]], *, timeout: float = 30.0, what: str = "") -> Any:
    """The first true result of a check, looked at often, within a bound."""
    end = time.monotonic() + timeout
    last: Any = None
    while time.monotonic() < end:
        try:
            last = await check()
        except ApiError as exc:
            last = exc
        else:
            if last:
                return last
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {timeout} s: {what or check.__name__}; last: {last}")


def _end(shim: int) -> None:
    """Have a shim kill all that it supervises, and wait until it has cleaned up; kill it where it does not."""
    handle = os.pidfd_open(shim)
    try:
        for number in (signal.SIGUSR1, signal.SIGKILL):
            signal.pidfd_send_signal(handle, number)
            if select.select([handle], [], [], 5)[0]:
                return
    finally:
        os.close(handle)


class Daemon:
    """A process of the engine, with its log."""

    def __init__(self, command: str, config: Path, log: Path) -> None:
        self.command, self.config, self.log = command, config, log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlsysops_embedded", self.command, "--config", str(self.config)],
                stderr=log,
                stdout=log,
                cwd=self.log.parent,
                start_new_session=True,
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(15)
        self.process = None
        return code


class Plane:
    """One control plane with its kubelets."""

    def __init__(self, root: Path, name: str, octet: int, number: int) -> None:
        self.root, self.name, self.octet, self.number = root, name, octet, number
        root.mkdir(parents=True)
        self.address = f"127.{octet}.0.{10 + number}"
        self.pki = root / "pki"
        self.admin = root / "admin.kubeconfig"
        self.member_kubeconfig = root / "member.kubeconfig"
        self.daemons: dict[str, Daemon] = {}
        self.nodes: dict[str, str] = {}
        self.options: dict[str, Any] = {}

    def bootstrap(
        self, nodes: tuple[str, ...] = (), member: str = "", member_groups: tuple[str, ...] = ("system:masters",)
    ) -> None:
        certs, kubeconfigs = [], [{"path": str(self.admin), "user": "kubernetes-admin", "groups": ["system:masters"]}]
        for index, node in enumerate(nodes):
            self.nodes[node] = f"127.{self.octet}.{self.number + 1}.{20 + index}"
            certs.append({"dir": str(self.root / f"{node}-pki"), "node": node, "sans": [self.nodes[node], node]})
            user = {"user": f"system:node:{node}", "groups": ["system:nodes"]}
            kubeconfigs.append({"path": str(self.root / f"{node}.kubeconfig"), **user})
        if member:
            kubeconfigs.append({"path": str(self.member_kubeconfig), "user": member, "groups": list(member_groups)})
        config = {
            "pki_dir": str(self.pki),
            "server": {"url": f"https://{self.address}:6443", "sans": [self.address, "localhost"]},
            "context": self.name,
            "kubeconfigs": kubeconfigs,
            "kubelet_certs": certs,
        }
        path = self.root / "bootstrap.yaml"
        path.write_text(yaml.safe_dump(config))
        subprocess.run([sys.executable, "-m", "mlsysops_embedded", "bootstrap", "--config", str(path)], check=True)

    def start(self) -> None:
        config = {
            "name": self.name,
            "data_dir": str(self.root / "data"),
            "listen": {"address": self.address, "port": 6443},
            "pki_dir": str(self.pki),
            "service_cidr": f"127.{self.octet}.{128 + 8 * self.number}.0/21",
            **self.options,
        }
        path = self.root / "controlplane.yaml"
        path.write_text(yaml.safe_dump(config))
        self.daemons["controlplane"] = Daemon("controlplane", path, self.root / "controlplane.log")
        self.daemons["controlplane"].start()

    def start_kubelet(self, node: str, **options: Any) -> Daemon:
        runtime = self.root / f"{node}-runtime.yaml"
        runtime.write_text(yaml.safe_dump({"images": [{"image": f"{PROGRAM}*", "exec": [sys.executable]}]}))
        config = {
            "node": node,
            "kubeconfig": str(self.root / f"{node}.kubeconfig"),
            "data_dir": str(self.root / f"{node}-data"),
            "address": self.nodes[node],
            "pod_cidr": f"127.{self.octet}.{64 + 8 * self.number + list(self.nodes).index(node)}.0/24",
            "pki_dir": str(self.root / f"{node}-pki"),
            "runtime_config": str(runtime),
            **options,
        }
        path = self.root / f"{node}.yaml"
        path.write_text(yaml.safe_dump(config))
        self.daemons[node] = Daemon("kubelet", path, self.root / f"{node}.log")
        self.daemons[node].start()
        return self.daemons[node]

    def close(self) -> None:
        for daemon in reversed(self.daemons.values()):
            daemon.stop()
        for state in self.root.glob("*-data/pods/*/containers/*/*/state.json"):
            # Pods outlive their kubelet by design; the test that made them ends them.
            pid = yaml.safe_load(state.read_text())["shim"]
            with contextlib.suppress(ProcessLookupError, OSError):
                if "shim.py" in Path(f"/proc/{pid}/cmdline").read_text():
                    _end(pid)
        # Where a test killed a shim, nobody has removed its groups; the kernel lets go of one once its last process is gone.
        specs = self.root.glob("*-data/pods/*/containers/*/*/spec.json")
        groups = {Path(group) for spec in specs for group in json.loads(spec.read_text())["cgroups"]}
        end = time.monotonic() + 30
        while (left := [group for group in groups if group.exists()]) and time.monotonic() < end:
            for group in left:
                with contextlib.suppress(OSError):
                    group.rmdir()
            time.sleep(0.02)
        for directory in {group.parent for group in groups}:
            with contextlib.suppress(OSError):
                directory.rmdir()

    def client(self) -> HttpClient:
        return HttpClient.from_kubeconfig(self.admin)

    async def ready(self, client: HttpClient) -> None:
        async def answers() -> Any:
            return await client.get(NAMESPACES, "default")

        await eventually(answers, what=f"{self.name} answers")
        for node in self.nodes:
            if node in self.daemons:
                await eventually(lambda node=node: node_ready(client, node), what=f"{node} is Ready")  # type: ignore[misc]


async def node_ready(client: HttpClient, node: str, status: str = "True") -> bool:
    found = await client.get(NODES, node)
    return any(
        c["type"] == "Ready" and c["status"] == status for c in (found.get("status") or {}).get("conditions", ())
    )


async def gone(client: HttpClient, resource: Resource, name: str, namespace: str | None = None) -> bool:
    try:
        await client.get(resource, name, namespace)
    except ApiError as exc:
        return exc.code == 404
    return False


def pod(name: str, code: str = "import time; time.sleep(1000)", **spec: Any) -> Object:
    """A pod of one container that runs Python code."""
    container = {"name": "main", "image": PROGRAM, "args": ["-c", code], **spec.pop("container", {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 2, **spec},
    }


async def pod_is(client: HttpClient, name: str, phase: str = "Running", namespace: str = "default") -> Object | None:
    found = await client.get(PODS, name, namespace)
    return found if (found.get("status") or {}).get("phase") == phase else None


async def pod_ready(client: HttpClient, name: str, namespace: str = "default") -> Object | None:
    found = await client.get(PODS, name, namespace)
    conditions = (found.get("status") or {}).get("conditions") or ()
    return found if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions) else None
