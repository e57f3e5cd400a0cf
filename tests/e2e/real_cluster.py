"""A real Kubernetes as somebody else's cluster: kube-apiserver, its controllers and scheduler, with the engine's kubelets as nodes.

It is set up as careful administrators do: nodes have the rights of nodes (Node authorizer, NodeRestriction), who sets owner
references must be allowed to (OwnerReferencesPermissionEnforcement), pods are held to Pod Security's level ``baseline`` where a
namespace does not say otherwise, and every refusal is written into an audit log.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from kube_kubelets import Kubelets
from kube_process import Process
from kube_real import KubeApiserver, Setup, kubebuilder_assets

#: Kubernetes takes no loopback address for a pod behind a Service, so that nodes and pods have addresses of this network, all
#: of which are this machine's while the tests run.
NETWORK = "10.124"
_MEMBER = Path(__file__).parent / "standins/member.py"
_AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [{"level": "Metadata"}],
}
_ADMISSION = {
    "apiVersion": "apiserver.config.k8s.io/v1",
    "kind": "AdmissionConfiguration",
    "plugins": [
        {
            "name": "PodSecurity",
            "configuration": {
                "apiVersion": "pod-security.admission.config.k8s.io/v1",
                "kind": "PodSecurityConfiguration",
                "defaults": {"enforce": "baseline"},
                "exemptions": {"namespaces": ["kube-system"]},
            },
        }
    ],
}
#: What changes by itself in any cluster.
_RESTLESS = {"events", "leases", "endpointslices", "endpoints", "componentstatuses"}


@contextlib.contextmanager
def network_of_this_machine() -> Iterator[None]:
    """Make every address of `NETWORK` this machine's own (root)."""
    address = ["address", f"{NETWORK}.0.1/16", "dev", "lo"]
    subprocess.run(["ip", "address", "add", *address[1:]], check=False, capture_output=True)  # one may be left over
    try:
        yield
    finally:
        subprocess.run(["ip", "address", "del", *address[1:]], check=True, capture_output=True)


class RealCluster:
    """A running cluster.

    Args:
        root: Directory for everything; it has to exist.
        nodes: Names of its nodes.
        images: What its nodes run (`Kubelets`); given the address of its API.
    """

    def __init__(self, root: Path, nodes: tuple[str, ...], images: Any) -> None:
        self.root = root
        audit, admission = root / "audit.yaml", root / "admission.yaml"
        audit.write_text(yaml.safe_dump(_AUDIT))
        admission.write_text(yaml.safe_dump(_ADMISSION))
        setup = Setup(
            address=f"{NETWORK}.0.1",
            services="127.125.200.0/24",  # which the kubelets themselves serve
            flags=(
                "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
                f"--admission-control-config-file={admission}",
                f"--audit-policy-file={audit}",
                f"--audit-log-path={root / 'audit.log'}",
                "--feature-gates=WatchList=true",
            ),
            node_user="system:node:{}",
            node_groups=("system:nodes",),
        )
        kubelets = Kubelets(root, nodes, pod_network=NETWORK, addresses=f"{NETWORK}.1")
        self.server = KubeApiserver(root, kubebuilder_assets(), nodes, setup, kubelets)
        kubelets.images = images(self.server.url.removeprefix("https://"))
        self.kubeconfig = self.server.kubeconfig

    def start(self) -> None:
        """Start it; returns when its nodes are ready."""
        self.server.start()
        # Beside the rights of nodes, what the proxy for Services needs, which is part of these kubelets.
        self.kubectl(
            "create", "clusterrolebinding", "proxy", "--clusterrole=system:node-proxier", "--group=system:nodes"
        )
        for node in self.server.kubelets.nodes:
            self.server.kubelets.start(node)
        wanted = [f"node/{node}" for node in self.server.kubelets.nodes]
        for one in wanted:
            self.kubectl("wait", one, "--for=create", "--timeout=90s")
        self.kubectl("wait", *wanted, "--for=condition=Ready", "--timeout=90s")
        self.kubectl("wait", "serviceaccount/default", "--for=create", "--timeout=90s")

    def join(self, name: str, above: Path) -> None:
        """Become a member of a control plane of the embedded engine."""
        argv = [sys.executable, str(_MEMBER), name, str(self.kubeconfig), str(above)]
        self.server.processes.append(Process(argv, self.root / "member.log"))

    def stop(self) -> None:
        """End all of it, pods too."""
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):  # what did not start has no pods
            self.kubectl("delete", "deployments,daemonsets", "--all", "-A", "--wait=false")
            self.kubectl("delete", "pods", "--all", "-A", "--grace-period=1", "--timeout=60s")
        self.server.stop()

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl as its administrator."""
        done = subprocess.run(
            ["kubectl", f"--kubeconfig={self.kubeconfig}", *arguments],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"kubectl {arguments}: {done.stderr}"
        return done.stdout

    def refusals(self) -> set[str]:
        """What ServiceAccounts were not allowed to do, as the audit log has it: who, verb, resource, where."""
        return {
            f"{entry['user']['username']} {entry['verb']} {resource_of(entry)}"
            for entry in self.audit()
            if (entry.get("responseStatus") or {}).get("code") == 403
            and entry["user"]["username"].startswith("system:serviceaccount:mlsysops")
        }

    def audit(self) -> Iterator[dict[str, Any]]:
        """Entries of the audit log."""
        for line in (self.root / "audit.log").read_text().splitlines():
            yield json.loads(line)


def resource_of(entry: Mapping[str, Any]) -> str:
    """What an audited request was about."""
    ref = entry.get("objectRef") or {}
    parts = (ref.get("apiGroup"), ref.get("resource"), ref.get("subresource"))
    return f"{'/'.join(p for p in parts if p)} {ref.get('namespace', '')}/{ref.get('name', '')}"


def snapshot(kubectl: Any) -> dict[str, Any]:
    """Every object of every resource that an API lists, without what changes by itself.

    Args:
        kubectl: Runs kubectl and returns its output.
    """
    found: dict[str, Any] = {}
    listed = kubectl("api-resources", "--verbs=list", "-o", "name").split()
    resources = [name for name in listed if name.partition(".")[0] not in _RESTLESS and "metrics.k8s.io" not in name]
    for item in json.loads(kubectl("get", ",".join(resources), "-A", "-o", "json"))["items"]:
        metadata = item["metadata"]
        for field in ("managedFields", "resourceVersion", "generation"):
            metadata.pop(field, None)
        item.pop("status", None)
        (metadata.get("annotations") or {}).pop("node.alpha.kubernetes.io/ttl", None)
        found[f"{item['apiVersion']} {item['kind']} {metadata.get('namespace', '')}/{metadata['name']}"] = item
    return found
