"""The API servers under test: each is started as a real process on a loopback address and a free port."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from kube_api import Api
from kube_pki import issue_server, issue_user, make_authority, make_token_key

#: A part of 127/8 that no slice uses, so that tests and a developer's slice live side by side.
ADDRESS = "127.121.0.1"


def free_port(address: str = ADDRESS) -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def _environment() -> dict[str, str]:
    # MLS_SUPERVISED: the process ends with the test run, however that ends.
    return {**os.environ, "MLS_SUPERVISED": "1", "LC_ALL": "C.UTF-8"}


class Process:
    """A program that runs in the background with its output in a file."""

    def __init__(self, argv: list[str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self.popen = subprocess.Popen(argv, stdout=output, stderr=output, env=_environment())

    def running(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def kill(self) -> None:
        """SIGKILL."""
        self.popen.kill()
        self.popen.wait()

    def stop(self, timeout: float = 10) -> int:
        """SIGTERM; the exit code. What does not end in time is killed and counts as failed."""
        self.popen.send_signal(signal.SIGTERM)
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL

    def tail(self) -> str:
        """The end of its output."""
        return self.log.read_text(errors="replace")[-4000:]


def await_ready(process: Process, url: str, ca_file: Path, timeout: float = 60) -> float:
    """Wait until /readyz says ok.

    Returns:
        Seconds it took.
    """
    start = time.perf_counter()
    probe = Api(url, ca_file)
    try:
        while time.perf_counter() - start < timeout:
            if not process.running():
                raise AssertionError(f"ended with {process.popen.returncode}:\n{process.tail()}")
            try:
                if probe.get("/readyz").status_code == 200:
                    return time.perf_counter() - start
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(0.02)
    finally:
        probe.close()
    raise AssertionError(f"not ready in {timeout:g} s:\n{process.tail()}")


@dataclass
class Target:
    """An API server under test.

    Attributes:
        name: What reports call it.
        directory: Scratch directory.
        url: Base URL.
        authority: Files of the certificate authority and its key, which the server trusts for clients too.
        kubeconfig: Of an administrator (group system:masters).
        controllers: Whether controllers run (kube-apiserver alone has none).
        embedded: Our engine, for what only its processes can show.
        compact: Makes the server forget what was before a revision, where it has a way to ask for that.
    """

    name: str
    directory: Path
    url: str
    authority: tuple[Path, Path]
    kubeconfig: Path
    controllers: bool
    embedded: EmbeddedControlPlane | None = None
    compact: Callable[[int], None] | None = None
    _clients: list[Api] = field(default_factory=list)

    def user(self, name: str, *groups: str) -> Api:
        """A user with a client certificate."""
        api = Api(self.url, self.authority[0], issue_user(self.authority, name, groups, self.directory))
        self._clients.append(api)
        return api

    def token(self, token: str) -> Api:
        """The owner of a bearer token."""
        api = Api(self.url, self.authority[0], token=token)
        self._clients.append(api)
        return api

    def anonymous(self) -> Api:
        """Nobody in particular."""
        api = Api(self.url, self.authority[0])
        self._clients.append(api)
        return api

    def close(self) -> None:
        """Close the clients."""
        for client in self._clients:
            client.close()


class EmbeddedControlPlane:
    """The embedded engine's control plane, and kubelets that join it.

    Args:
        directory: Scratch directory.
        address: Loopback address it listens on.
        nodes: Names of kubelets that `start_kubelet` may start.
    """

    def __init__(self, directory: Path, address: str = ADDRESS, nodes: tuple[str, ...] = ()) -> None:
        self.directory = directory
        self.address = address
        self.port = free_port(address)
        self.url = f"https://{address}:{self.port}"
        self.pki = directory / "pki"
        self.kubeconfig = directory / "admin.kubeconfig"
        self.nodes = nodes
        self.process: Process | None = None
        self.kubelets: dict[str, Process] = {}
        self.config = self._write(
            "controlplane.yaml",
            {
                "name": "contract",
                "data_dir": str(directory / "data"),
                "listen": {"address": address, "port": self.port},
                "pki_dir": str(self.pki),
                "service_cidr": "127.121.136.0/21",
                "propagation": {"enabled": False},
            },
        )
        self.bootstrap()

    @property
    def authority(self) -> tuple[Path, Path]:
        """Files of the certificate authority and its key."""
        return self.pki / "ca.crt", self.pki / "ca.key"

    def _write(self, name: str, content: Any) -> Path:
        file = self.directory / name
        file.write_text(yaml.safe_dump(content))
        return file

    def _node_address(self, node: str) -> str:
        return f"127.121.1.{self.nodes.index(node) + 1}"

    def bootstrap(self) -> dict[str, Any]:
        """Make keys, certificates and kubeconfigs where they are missing."""
        config = self._write(
            "bootstrap.yaml",
            {
                "pki_dir": str(self.pki),
                "server": {"url": self.url, "sans": [self.address, "localhost"]},
                "context": "contract",
                "kubeconfigs": [
                    {"path": str(self.kubeconfig), "user": "kubernetes-admin", "groups": ["system:masters"]},
                    *(
                        {
                            "path": str(self.directory / f"{node}.kubeconfig"),
                            "user": f"system:node:{node}",
                            "groups": ["system:nodes"],
                        }
                        for node in self.nodes
                    ),
                ],
                "kubelet_certs": [
                    {"dir": str(self.directory / f"{node}-pki"), "node": node, "sans": [self._node_address(node)]}
                    for node in self.nodes
                ],
            },
        )
        argv = [sys.executable, "-m", "mlsysops_embedded", "bootstrap", "--config", str(config)]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def start(self) -> float:
        """Start the process and wait until it is ready.

        Returns:
            Seconds from start to ready.
        """
        argv = [sys.executable, "-m", "mlsysops_embedded", "controlplane", "--config", str(self.config)]
        self.process = Process(argv, self.directory / "controlplane.log")
        return await_ready(self.process, self.url, self.authority[0])

    def kill(self) -> None:
        """SIGKILL the control plane."""
        assert self.process is not None
        self.process.kill()

    def stop(self) -> None:
        """End everything that was started."""
        for kubelet in self.kubelets.values():
            kubelet.stop()
        if self.process is not None and self.process.running():
            code = self.process.stop()
            assert code == 0, f"SIGTERM ended it with {code}:\n{self.process.tail()}"

    def start_kubelet(self, node: str, **more: Any) -> Process:
        """Start a kubelet whose images are all simulated.

        Args:
            node: One of `nodes`.
            more: Further keys of its configuration.
        """
        runtime = self._write(f"{node}-runtime.yaml", {"images": []})
        config = self._write(
            f"{node}.yaml",
            {
                "node": node,
                "kubeconfig": str(self.directory / f"{node}.kubeconfig"),
                "data_dir": str(self.directory / node),
                "address": self._node_address(node),
                "pod_cidr": f"127.121.{64 + self.nodes.index(node)}.0/24",
                "listen": {"port": free_port(self._node_address(node))},
                "pki_dir": str(self.directory / f"{node}-pki"),
                "labels": {"contract/node": node},
                "taints": [],
                "max_pods": 110,
                "runtime_config": str(runtime),
                **more,
            },
        )
        argv = [sys.executable, "-m", "mlsysops_embedded", "kubelet", "--config", str(config)]
        self.kubelets[node] = Process(argv, self.directory / f"{node}.log")
        return self.kubelets[node]

    def target(self) -> Target:
        """As a target of contract tests."""
        return Target(
            "embedded", self.directory, self.url, self.authority, self.kubeconfig, controllers=True, embedded=self
        )


class KubeApiserver:
    """A real kube-apiserver above a real etcd, started the way controller-runtime's envtest does.

    Args:
        directory: Scratch directory.
        assets: Directory with the binaries `etcd` and `kube-apiserver`.
    """

    def __init__(self, directory: Path, assets: Path) -> None:
        self.directory = directory
        self.assets = assets
        self.pki = directory / "pki"
        self.pki.mkdir()
        self.authority = (self.pki / "ca.crt", self.pki / "ca.key")
        self.port = free_port()
        self.url = f"https://{ADDRESS}:{self.port}"
        self.etcd_url = f"http://{ADDRESS}:{free_port()}"
        self.processes: list[Process] = []

    def start(self) -> None:
        """Start both and wait until the API is ready."""
        make_authority(*self.authority)
        issue_server(self.authority, ADDRESS, self.pki / "server.crt", self.pki / "server.key")
        make_token_key(self.pki / "sa.key")
        peer = f"http://{ADDRESS}:{free_port()}"
        etcd = [
            str(self.assets / "etcd"),
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={self.etcd_url}",
            f"--advertise-client-urls={self.etcd_url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        ]
        apiserver = [
            str(self.assets / "kube-apiserver"),
            f"--etcd-servers={self.etcd_url}",
            f"--bind-address={ADDRESS}",
            f"--advertise-address={ADDRESS}",
            f"--secure-port={self.port}",
            f"--tls-cert-file={self.pki / 'server.crt'}",
            f"--tls-private-key-file={self.pki / 'server.key'}",
            f"--client-ca-file={self.authority[0]}",
            f"--service-account-issuer={self.url}",
            f"--service-account-key-file={self.pki / 'sa.key'}",
            f"--service-account-signing-key-file={self.pki / 'sa.key'}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",
            # The controllers that would make the default ServiceAccount are not there.
            "--disable-admission-plugins=ServiceAccount",
            "--feature-gates=WatchList=true",
            # Leases are read from etcd itself, so that compaction of etcd shows.
            "--watch-cache-sizes=leases.coordination.k8s.io#0",
        ]
        self.processes.append(Process(etcd, self.directory / "etcd.log"))
        self.processes.append(Process(apiserver, self.directory / "kube-apiserver.log"))
        await_ready(self.processes[-1], self.url, self.authority[0], timeout=90)

    def stop(self) -> None:
        """End both, the API server first."""
        for process in reversed(self.processes):
            process.stop(timeout=30)

    def target(self) -> Target:
        """As a target of contract tests."""
        cert, key = issue_user(self.authority, "kubernetes-admin", ("system:masters",), self.pki)
        kubeconfig = self.directory / "admin.kubeconfig"
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(yaml.safe_dump(_kubeconfig(self.url, self.authority[0], cert, key)))
        return Target(
            "kube-apiserver",
            self.directory,
            self.url,
            self.authority,
            kubeconfig,
            controllers=False,
            compact=self.compact,
        )

    def compact(self, revision: int) -> None:
        """Compact etcd, through its JSON gateway."""
        body = {"revision": str(revision), "physical": True}
        httpx.post(f"{self.etcd_url}/v3/kv/compaction", json=body, trust_env=False).raise_for_status()


def _kubeconfig(url: str, ca: Path, cert: Path, key: Path) -> dict[str, Any]:
    def data(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "contract",
        "contexts": [{"name": "contract", "context": {"cluster": "contract", "user": "admin"}}],
        "clusters": [{"name": "contract", "cluster": {"server": url, "certificate-authority-data": data(ca)}}],
        "users": [
            {"name": "admin", "user": {"client-certificate-data": data(cert), "client-key-data": data(key)}},
        ],
    }


def kubebuilder_assets() -> Path:
    """Where kube-apiserver and etcd are looked for."""
    return Path(os.environ.get("KUBEBUILDER_ASSETS", "/usr/local/kubebuilder/bin"))
