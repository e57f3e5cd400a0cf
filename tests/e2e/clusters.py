"""Clusters that exist before anybody deploys anything: control planes and kubelets of the embedded engine, started by hand.

They stand for clusters of somebody else's: whoever uses them gets kubeconfigs and nothing more.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from newcomer import wait_for

CONTINUUM = "karmada"
#: For `pytestmark` of a module that goes through what happens to a slice on such clusters: minutes each, on demand.
ON_CLUSTERS = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl in PATH"),
    pytest.mark.skipif("MLS_TEST_EXISTING" not in os.environ, reason="takes minutes: `make existing` runs it"),
]


def remove_state_of_pods(slice_name: str) -> None:
    """Remove the directories that agents as pods have on their nodes' disk, which is this machine's; what is in use stays."""
    below = Path("/var/lib/mlsysops", slice_name)
    for place in (*(below / part for part in ("cluster-agent", "continuum-agent", "northbound")), below, below.parent):
        with contextlib.suppress(OSError):
            place.rmdir()


class Planes:
    """Control planes by name, looked at with kubectl."""

    def kubeconfig(self, name: str) -> Path:
        """The administrator's kubeconfig of a control plane."""
        raise NotImplementedError

    def kubectl(self, name: str, *arguments: str, check: bool = True) -> str:
        """Run kubectl as the administrator of a control plane."""
        done = subprocess.run(
            ["kubectl", "--kubeconfig", str(self.kubeconfig(name)), *arguments],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0 or not check, f"kubectl {arguments}: {done.stderr}"
        return done.stdout

    def json(self, name: str, *arguments: str) -> Any:
        """The JSON that kubectl gets."""
        return json.loads(self.kubectl(name, "get", *arguments, "-o", "json"))

    def condition(self, name: str, kind: str, obj: str, condition: str = "Ready") -> bool:
        """Whether an object has a condition."""
        conditions = self.json(name, kind, obj).get("status", {}).get("conditions", [])
        return any(c["type"] == condition and c["status"] == "True" for c in conditions)


@dataclass
class Clusters(Planes):
    """A Karmada-like control plane, one member cluster each with its nodes, all on loopback addresses of their own.

    Args:
        root: Directory for everything.
        members: Nodes of each member.
        images: What the kubelets run: image patterns and programs.
        block: First two octets of all addresses.
    """

    root: Path
    members: dict[str, list[str]]
    images: list[dict[str, Any]] = field(default_factory=list)
    block: str = "127.121"
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self) -> None:
        """Start all of it; returns when members are ready and have their nodes."""
        numbers = {name: number for number, name in enumerate([CONTINUUM, *self.members])}
        self._bootstrap(CONTINUUM, self.plane_address(CONTINUUM), [f"member-{name}" for name in self.members], [])
        self._plane(CONTINUUM, self.plane_address(CONTINUUM), numbers[CONTINUUM], {"propagation": {"enabled": True}})
        for namespace in ["karmada-cluster", *(f"karmada-es-{name}" for name in self.members)]:
            self.kubectl(CONTINUUM, "create", "namespace", namespace, check=False)  # may be there already
        for name, nodes in self.members.items():
            address = self.plane_address(name)
            self._bootstrap(name, address, [], nodes)
            kubeconfig = str(self.root / CONTINUUM / f"member-{name}.kubeconfig")
            self._plane(name, address, numbers[name], {"member": {"cluster": name, "kubeconfig": kubeconfig}})
            for number, node in enumerate(nodes):
                self._kubelet(name, node, numbers[name], number)
        for name, nodes in self.members.items():
            wait_for(f"{name} ready", lambda name=name: self.condition(CONTINUUM, "cluster", name), timeout=60)
            for node in nodes:
                wait_for(f"{node} ready", lambda name=name, node=node: self.condition(name, "node", node), timeout=60)

    def stop(self) -> None:
        """End every process that was started, kubelets' pods too."""
        for name in self.members:
            if name in self.processes:
                self.kubectl(name, "delete", "deployments,daemonsets", "--all", "-A", "--wait=false", check=False)
                self.kubectl(name, "delete", "pods", "--all", "-A", "--grace-period=1", "--timeout=30s", check=False)
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def kubeconfig(self, name: str) -> Path:
        """The administrator's kubeconfig of a control plane."""
        return self.root / name / "admin.kubeconfig"

    def plane_address(self, name: str) -> str:
        """The address of a control plane."""
        return f"{self.block}.{[CONTINUUM, *self.members].index(name)}.1"

    def address(self, member: str, node: str) -> str:
        """The address of a node."""
        number = list(self.members).index(member) + 1
        return f"{self.block}.{number}.{10 + self.members[member].index(node)}"

    def pod_network(self, number: int, index: int) -> dict[str, Any]:
        """What a kubelet is told of its pods' addresses."""
        return {"pod_cidr": f"{self.block}.{64 + 8 * number + index}.0/24"}

    def check(self, name: str) -> None:
        """Fail where a process that was started has ended."""
        assert self.processes[name].poll() is None, (self.root / f"{name}.log").read_text()[-2000:]

    def _run(self, name: str, *command: str) -> None:
        log = self.root / f"{name}.log"
        with log.open("ab") as stream:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "mlsysops_embedded", *command],
                stdout=stream, stderr=stream, stdin=subprocess.DEVNULL, env={**os.environ}, start_new_session=True,
            )  # fmt: skip

    def _write(self, path: Path, value: Any) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(value), encoding="utf-8")
        return str(path)

    def _bootstrap(self, name: str, address: str, users: list[str], nodes: list[str]) -> None:
        place = self.root / name
        entries = [("admin", "kubernetes-admin"), *((user, user) for user in users)]
        config = {
            "pki_dir": str(place / "pki"),
            "server": {"url": f"https://{address}:6443", "sans": [address, "localhost"]},
            "context": name,
            "kubeconfigs": [
                {"path": str(place / f"{file}.kubeconfig"), "user": user, "groups": ["system:masters"]}
                for file, user in entries
            ]
            + [
                {"path": str(place / f"{node}.kubeconfig"), "user": f"system:node:{node}", "groups": ["system:nodes"]}
                for node in nodes
            ],
            "kubelet_certs": [
                {"dir": str(place / node), "node": node, "sans": [self.address(name, node), node]} for node in nodes
            ],
        }
        file = self._write(place / "bootstrap.yaml", config)
        command = [sys.executable, "-m", "mlsysops_embedded", "bootstrap", "--config", file]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def _plane(self, name: str, address: str, number: int, more: dict[str, Any]) -> None:
        place = self.root / name
        config = {
            "name": name,
            "data_dir": str(place / "data"),
            "listen": {"address": address, "port": 6443},
            "pki_dir": str(place / "pki"),
            "service_cidr": f"{self.block}.{128 + 8 * number}.0/21",
            **more,
        }
        self._run(name, "controlplane", "--config", self._write(place / "controlplane.yaml", config))
        trust = ssl.create_default_context(cafile=str(place / "pki" / "ca.crt"))

        def ready() -> bool:
            try:
                with urllib.request.urlopen(f"https://{address}:6443/readyz", context=trust, timeout=2) as answer:
                    return bool(answer.status == 200)
            except (urllib.error.URLError, OSError):
                self.check(name)
                return False

        wait_for(f"{name} serves", ready, timeout=60)

    def _kubelet(self, cluster: str, node: str, number: int, index: int) -> None:
        place = self.root / cluster
        runtime = self._write(place / node / "runtime.yaml", {"images": self.images})
        config = {
            "node": node,
            "kubeconfig": str(place / f"{node}.kubeconfig"),
            "data_dir": str(place / node / "data"),
            "address": self.address(cluster, node),
            **self.pod_network(number, index),
            "pki_dir": str(place / node),
            "labels": {"example.com/rack": f"r{index}"},
            "runtime_config": runtime,
        }
        self._run(f"{cluster}-{node}", "kubelet", "--config", self._write(place / node / "kubelet.yaml", config))
