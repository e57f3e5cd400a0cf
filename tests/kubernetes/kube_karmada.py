"""A real Karmada: its API server, controllers, scheduler, webhooks and aggregated API, as processes of this machine."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from kube_pki import issue_user
from kube_process import Process, free_port
from kube_real import KubeApiserver, Setup

#: Programs of a release of Karmada; ``crds/`` of its ``crds.tar.gz`` and ``webhook-configuration.yaml`` of its
#: ``artifacts/deploy`` lie beside them.
PROGRAMS = (
    "karmada-aggregated-apiserver",
    "karmada-controller-manager",
    "karmada-scheduler",
    "karmada-webhook",
    "karmadactl",
)
FILES = ("webhook-configuration.yaml", "crds/bases/policy/policy.karmada.io_propagationpolicies.yaml")
_NAMESPACE = "karmada-system"
#: Of kube-controller-manager, what Karmada's installations run above its API server.
_CONTROLLERS = (
    "namespace-controller,garbage-collector-controller,serviceaccount-token-controller,ttl-after-finished-controller,"
    "bootstrap-signer-controller,token-cleaner-controller,clusterrole-aggregation-controller"
)


def karmada_assets() -> Path:
    """Where a release of Karmada is looked for."""
    return Path(os.environ.get("KARMADA_ASSETS", "/usr/local/karmada"))


class Karmada:
    """A Karmada without members.

    Args:
        directory: Scratch directory; it has to exist.
        assets: Directory of kube-apiserver, etcd and kube-controller-manager.
        karmada: Directory of Karmada's programs and files.
        address: Loopback address that all of it listens on.
    """

    def __init__(self, directory: Path, assets: Path, karmada: Path, address: str) -> None:
        self.directory, self.karmada, self.address = directory, karmada, address
        pki = directory / "pki"
        setup = Setup(
            address=address,
            services="10.96.0.0/16",
            flags=(
                "--disable-admission-plugins=StorageObjectInUseProtection,ServiceAccount",
                f"--proxy-client-cert-file={pki / 'front-proxy-client.crt'}",
                f"--proxy-client-key-file={pki / 'front-proxy-client.key'}",
                f"--requestheader-client-ca-file={pki / 'ca.crt'}",
                "--requestheader-allowed-names=front-proxy-client",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-username-headers=X-Remote-User",
                "--enable-bootstrap-token-auth=true",
            ),
            controllers=(f"--controllers={_CONTROLLERS}",),
            scheduler=False,
        )
        self.server = _Apiserver(directory, assets, setup=setup)
        self.kubeconfig = self.server.kubeconfig

    def start(self) -> None:
        """Start all of it; returns when members can join."""
        self.server.start()
        for namespace in (_NAMESPACE, "karmada-cluster"):
            self.kubectl("create", "namespace", namespace)
        definitions = [f"--filename={path}" for path in sorted(self.karmada.glob("crds/bases/*/*.yaml"))]
        self.kubectl("apply", "--server-side", *definitions)
        self._serve_clusters()
        self._call_webhooks()
        for name in ("karmada-controller-manager", "karmada-scheduler"):
            self._run(name, "--leader-elect=false", *self._ports())

    def stop(self) -> None:
        """End all, what came last first."""
        self.server.stop()

    def join(self, name: str, kubeconfig: Path) -> None:
        """Make a cluster a member, into which Karmada pushes."""
        command = [self.karmada / "karmadactl", f"--kubeconfig={self.kubeconfig}", "join", name]
        self._do([*map(str, command), f"--cluster-kubeconfig={kubeconfig}"])

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as its administrator."""
        return self._do(["kubectl", f"--kubeconfig={self.kubeconfig}", *arguments], stdin)

    def _do(self, command: list[str], stdin: str = "") -> str:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def _run(self, name: str, *flags: str) -> None:
        argv = [str(self.karmada / name), f"--kubeconfig={self.kubeconfig}", *flags]
        self.server.processes.append(Process(argv, self.directory / f"{name}.log", foreign=True))

    def _ports(self) -> list[str]:
        places = ("metrics-bind-address", "health-probe-bind-address")
        return [f"--{place}={self.address}:{free_port(self.address)}" for place in places]

    def _serve_clusters(self) -> None:
        """The kind Cluster is served by an API server of its own, which the first one asks."""
        port, pki = free_port("127.0.0.1"), self.server.pki
        access = [f"--{kind}-kubeconfig={self.kubeconfig}" for kind in ("authentication", "authorization")]
        self._run(
            "karmada-aggregated-apiserver",
            *access,
            f"--etcd-servers={self.server.etcd_url}",
            f"--tls-cert-file={pki / 'server.crt'}",
            f"--tls-private-key-file={pki / 'server.key'}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            "--audit-log-path=-",
            "--audit-log-maxage=0",
            "--audit-log-maxbackup=0",
        )
        service = {"name": "karmada-aggregated-apiserver", "namespace": _NAMESPACE}
        self._apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": service,
                "spec": {"type": "ExternalName", "externalName": "localhost"},
            },
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": "v1alpha1.cluster.karmada.io"},
                "spec": {
                    "insecureSkipTLSVerify": True,
                    "group": "cluster.karmada.io",
                    "groupPriorityMinimum": 2000,
                    "service": {**service, "port": port},
                    "version": "v1alpha1",
                    "versionPriority": 10,
                },
            },
        )
        self.kubectl("wait", "apiservice/v1alpha1.cluster.karmada.io", "--for=condition=Available", "--timeout=120s")

    def _call_webhooks(self) -> None:
        pki, port = self.directory / "webhook", free_port(self.address)
        pki.mkdir()
        for name, file in (("tls.crt", "server.crt"), ("tls.key", "server.key")):
            (pki / name).write_bytes((self.server.pki / file).read_bytes())
        self._run(
            "karmada-webhook",
            f"--bind-address={self.address}",
            f"--secure-port={port}",
            f"--cert-dir={pki}",
            *self._ports(),
        )
        text = (self.karmada / "webhook-configuration.yaml").read_text()
        text = text.replace("https://karmada-webhook.karmada-system.svc:443", f"https://{self.address}:{port}")
        authority = base64.b64encode(self.server.authority[0].read_bytes()).decode()
        self.kubectl("apply", "-f", "-", stdin=text.replace("{{caBundle}}", authority))

    def _apply(self, *objects: dict[str, Any]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(listed))


class _Apiserver(KubeApiserver):
    """One that may ask other API servers."""

    def _make_keys(self) -> None:
        super()._make_keys()
        issue_user(self.authority, "front-proxy-client", (), self.pki)
