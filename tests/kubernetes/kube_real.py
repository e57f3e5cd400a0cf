"""A real Kubernetes control plane: kube-apiserver above etcd and, where they are at hand, its controllers."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from kube_kubelets import Kubelets
from kube_pki import issue_server, issue_user, make_authority, make_token_key
from kube_process import ADDRESS, Process, await_ready, free_port

#: What envtest's archives hold beside kubectl; without these nothing can be tested.
REQUIRED = ("etcd", "kube-apiserver")
#: What they do not hold; without these the tests that need controllers are skipped.
CONTROLLERS = ("kube-controller-manager", "kube-scheduler")


def kubebuilder_assets() -> Path:
    """Where the binaries are looked for."""
    return Path(os.environ.get("KUBEBUILDER_ASSETS", "/usr/local/kubebuilder/bin"))


def absent(assets: Path, names: tuple[str, ...]) -> list[str]:
    """Those binaries that the directory does not hold."""
    return [name for name in names if not (assets / name).is_file()]


#: What the contract tests want of it beside what every server needs.
CONTRACT = (
    # A pod must not have to wait for the default ServiceAccount of its namespace.
    "--disable-admission-plugins=ServiceAccount",
    "--feature-gates=WatchList=true",
    # Leases are read from etcd itself, so that compaction of etcd shows.
    "--watch-cache-sizes=leases.coordination.k8s.io#0",
)


@dataclass(frozen=True)
class Setup:
    """How a server is set up; by default as the contract tests want it.

    Attributes:
        address: Where all of it listens.
        services: Network of the addresses of Services.
        flags: Of kube-apiserver, beside those that every server needs.
        controllers: Flags of kube-controller-manager, beside those that it always needs.
        scheduler: Whether pods are placed.
        node_user: Name of a node's user; ``{}`` stands for the node.
        node_groups: Groups of that user. By default it is no node to the server: these kubelets are the embedded engine's,
            which ask for slices of Services too.
    """

    address: str = ADDRESS
    services: str = "10.0.0.0/24"
    flags: tuple[str, ...] = CONTRACT
    controllers: tuple[str, ...] = ()
    scheduler: bool = True
    node_user: str = "node:{}"
    node_groups: tuple[str, ...] = ("system:masters",)


class KubeApiserver:
    """A real kube-apiserver above a real etcd, started the way controller-runtime's envtest does, with its controllers.

    Args:
        directory: Scratch directory.
        assets: Directory with the binaries.
        nodes: Names of kubelets that may be started.
        setup: How it is set up.
        kubelets: Those kubelets, where they shall do more than the contract tests want.
    """

    def __init__(
        self,
        directory: Path,
        assets: Path,
        nodes: tuple[str, ...] = (),
        setup: Setup | None = None,
        kubelets: Kubelets | None = None,
    ) -> None:
        self.directory = directory
        self.assets = assets
        self.setup = setup or Setup()
        self.pki = directory / "pki"
        self.pki.mkdir()
        self.authority = (self.pki / "ca.crt", self.pki / "ca.key")
        self.port = self._free_port()
        self.url = f"https://{self.setup.address}:{self.port}"
        self.etcd_url = f"http://{self.setup.address}:{self._free_port()}"
        self.kubeconfig = directory / "admin.kubeconfig"
        self.missing = absent(assets, CONTROLLERS)
        # Kubernetes takes no loopback address into an EndpointSlice.
        self.kubelets = kubelets or Kubelets(directory, nodes, pod_network="10.121")
        self.processes: list[Process] = []

    def start(self) -> None:
        """Start them and wait until all are ready."""
        self._make_keys()
        self._run("etcd", self._etcd())
        apiserver = self._run("kube-apiserver", self._apiserver())
        await_ready(apiserver, self.url, self.authority[0], timeout=90)
        if not self.missing:
            programs = {"kube-controller-manager": self._controllers(), "kube-scheduler": []}
            for name in list(programs) if self.setup.scheduler else list(programs)[:1]:
                port = self._free_port()
                process = self._run(name, [*self._client(port), *programs[name]])
                url = f"https://{self.setup.address}:{port}"
                await_ready(process, url, self.authority[0], timeout=90, health="/healthz")

    def stop(self) -> None:
        """End all, what came last first."""
        self.kubelets.stop()
        for process in reversed(self.processes):
            process.stop(timeout=30)

    def compact(self, revision: int) -> None:
        """Compact etcd, through its JSON gateway."""
        body = {"revision": str(revision), "physical": True}
        httpx.post(f"{self.etcd_url}/v3/kv/compaction", json=body, trust_env=False).raise_for_status()

    def _free_port(self) -> int:
        return free_port(self.setup.address)

    def _run(self, name: str, flags: list[str]) -> Process:
        process = Process([str(self.assets / name), *flags], self.directory / f"{name}.log", foreign=True)
        self.processes.append(process)
        return process

    def _make_keys(self) -> None:
        make_authority(*self.authority)
        issue_server(self.authority, self.setup.address, self.pki / "server.crt", self.pki / "server.key")
        make_token_key(self.pki / "sa.key")
        self.write_kubeconfig(self.kubeconfig, "kubernetes-admin", "system:masters")
        for node in self.kubelets.nodes:
            user = self.setup.node_user.format(node)
            self.write_kubeconfig(self.kubelets.kubeconfig(node), user, *self.setup.node_groups)
            pki = self.kubelets.pki(node)
            pki.mkdir()
            issue_server(self.authority, self.kubelets.address(node), pki / "kubelet.crt", pki / "kubelet.key")
            (pki / "ca.crt").write_bytes(self.authority[0].read_bytes())

    def write_kubeconfig(self, file: Path, user: str, *groups: str) -> None:
        """Write the kubeconfig of a user with a client certificate."""
        cert, key = issue_user(self.authority, user, groups, self.pki)
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump(_kubeconfig(self.url, self.authority[0], cert, key)))

    def _etcd(self) -> list[str]:
        peer = f"http://{self.setup.address}:{self._free_port()}"
        return [
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={self.etcd_url}",
            f"--advertise-client-urls={self.etcd_url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        ]

    def _apiserver(self) -> list[str]:
        cert, key = issue_user(self.authority, "kube-apiserver-kubelet-client", ("system:masters",), self.pki)
        return [
            f"--etcd-servers={self.etcd_url}",
            f"--bind-address={self.setup.address}",
            f"--advertise-address={self.setup.address}",
            # It may advertise no loopback address; nobody asks it to in these tests.
            "--endpoint-reconciler-type=none",
            f"--secure-port={self.port}",
            f"--cert-dir={self.pki}",
            f"--tls-cert-file={self.pki / 'server.crt'}",
            f"--tls-private-key-file={self.pki / 'server.key'}",
            f"--client-ca-file={self.authority[0]}",
            f"--service-account-issuer={self.url}",
            f"--service-account-key-file={self.pki / 'sa.key'}",
            f"--service-account-signing-key-file={self.pki / 'sa.key'}",
            f"--kubelet-certificate-authority={self.authority[0]}",
            f"--kubelet-client-certificate={cert}",
            f"--kubelet-client-key={key}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-cluster-ip-range={self.setup.services}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            *self.setup.flags,
        ]

    def _client(self, port: int) -> list[str]:
        return [
            f"--kubeconfig={self.kubeconfig}",
            "--leader-elect=false",
            f"--bind-address={self.setup.address}",
            f"--secure-port={port}",
            f"--tls-cert-file={self.pki / 'server.crt'}",
            f"--tls-private-key-file={self.pki / 'server.key'}",
        ]

    def _controllers(self) -> list[str]:
        return [
            f"--service-account-private-key-file={self.pki / 'sa.key'}",
            f"--root-ca-file={self.authority[0]}",
            *self.setup.controllers,
        ]


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
