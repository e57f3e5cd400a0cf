"""A stand-in for karmadactl, for machines that cannot have Karmada: its control plane is the embedded engine's.

What is real about it is what the roles touch: ``init`` checks its archive of definitions, runs the control plane as a
Deployment of the cluster below it, and writes ``karmada-apiserver.config``; ``token create`` makes an invitation that
``register`` needs, which checks the authority against its hash; ``register`` and ``join`` make a Cluster object.

What is not: there are no separate Karmada components and no images. A cluster that pulls is served by the propagation of
its own control plane; one that is pushed to has its Cluster object and nothing more.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import secrets
import ssl
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

VERSION = "v1.18.2"
K3S = Path("/var/lib/rancher/k3s")
CURRENT = K3S / "data/current"
sys.path.insert(0, str(CURRENT))
Object = dict[str, Any]


def fail(text: str) -> Any:
    print(f"error: {text}", file=sys.stderr)
    raise SystemExit(1)


class Api:
    """A control plane.

    Args:
        kubeconfig: Path of a kubeconfig, or its document.
    """

    def __init__(self, kubeconfig: str | Object) -> None:
        import yaml

        document = (
            kubeconfig if isinstance(kubeconfig, dict) else yaml.safe_load(Path(kubeconfig).read_text(encoding="utf-8"))
        )
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        self.server = cluster["server"]
        self.authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self.context = ssl.create_default_context(cadata=self.authority)
        self.headers = {"Content-Type": "application/json"}
        if "token" in user:
            self.headers["Authorization"] = f"Bearer {user['token']}"
        else:
            with tempfile.NamedTemporaryFile("w") as pair:
                pair.write(
                    "".join(base64.b64decode(user[f"client-{kind}-data"]).decode() for kind in ("certificate", "key"))
                )
                pair.flush()
                self.context.load_cert_chain(pair.name)

    def request(self, method: str, path: str, body: Object | None = None) -> Object:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.server + path, data=data, method=method, headers=self.headers)
        with urllib.request.urlopen(request, context=self.context, timeout=20) as answer:
            text = answer.read()
        return json.loads(text) if text[:1] == b"{" else {}

    def ensure(self, path: str, body: Object) -> None:
        """Create an object; one that is there stays."""
        try:
            self.request("POST", path, body)
        except urllib.error.HTTPError as exc:
            if exc.code != 409:
                fail(f"{path}: {exc.read().decode()[:200]}")


def engine(*words: str) -> None:
    subprocess.run(["/usr/bin/python3", str(CURRENT / "run.py"), *words], check=True, stdout=subprocess.DEVNULL)


def account(api: Api, namespace: str, name: str) -> str:
    """Make a ServiceAccount that may do anything, and return a token of it that does not end by itself."""
    api.ensure(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})
    api.ensure(
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        },
    )
    kept = {"metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": name}}}
    api.ensure(f"/api/v1/namespaces/{namespace}/secrets", kept | {"type": "kubernetes.io/service-account-token"})
    for _ in range(100):
        data = api.request("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}").get("data") or {}
        if data.get("token"):
            return base64.b64decode(data["token"]).decode()
        time.sleep(0.1)
    return str(fail("no token was made"))


def init(options: argparse.Namespace) -> None:
    try:
        with tarfile.open(options.crds) as archive:
            if not any(name.split("/")[0] == "crds" for name in archive.getnames()):
                fail(f"{options.crds} holds no crds")
    except (OSError, tarfile.TarError) as exc:
        fail(f"cannot read {options.crds}: {exc}")
    data, address = Path(options.karmada_data), options.karmada_apiserver_advertise_address
    bootstrap = {
        "pki_dir": options.karmada_pki,
        "server": {
            "url": f"https://{address}:{options.port}",
            "sans": [address, options.cert_external_ip, "localhost"],
        },
        "context": "karmada-apiserver",
        "kubeconfigs": [
            {"path": str(data / "karmada-apiserver.config"), "user": "system:admin", "groups": ["system:masters"]}
        ],
    }
    plane = {
        "name": "karmada",
        "data_dir": options.etcd_data,
        "listen": {"address": "0.0.0.0", "port": options.port},
        "pki_dir": options.karmada_pki,
        "service_cidr": "127.91.136.0/21",
        "propagation": {"enabled": True},
    }
    for name, config in (("bootstrap.json", bootstrap), ("controlplane.json", plane)):
        (data / name).write_text(json.dumps(config), encoding="utf-8")
    engine("mlsysops_embedded", "bootstrap", "--config", str(data / "bootstrap.json"))
    host = Api(options.kubeconfig)
    host.ensure("/api/v1/namespaces", {"metadata": {"name": "karmada-system"}})
    # Its image says which version runs; a pod that says nothing more stands for it.
    deploy(host, "karmada-controller-manager", [], image=f"docker.io/karmada/karmada-controller-manager:{VERSION}")
    deploy(host, "karmada-apiserver", ["controlplane", "--config", str(data / "controlplane.json")])
    karmada = Api(str(data / "karmada-apiserver.config"))
    deadline = time.monotonic() + options.wait_component_ready_timeout
    while True:
        try:
            karmada.request("GET", "/readyz")
            break
        except OSError as exc:
            if time.monotonic() > deadline:
                fail(f"karmada-apiserver is not ready: {exc}")
            time.sleep(0.3)
    karmada.ensure("/api/v1/namespaces", {"metadata": {"name": "karmada-cluster"}})
    karmada.ensure("/api/v1/namespaces", {"metadata": {"name": "kube-public"}})
    cluster = {
        "cluster": {
            "server": karmada.server,
            "certificate-authority-data": base64.b64encode(karmada.authority.encode()).decode(),
        }
    }
    karmada.ensure(
        "/api/v1/namespaces/kube-public/configmaps",
        {
            "metadata": {"name": "cluster-info"},
            "data": {"kubeconfig": json.dumps({"clusters": [{"name": "", **cluster}]})},
        },
    )


def deploy(host: Api, name: str, arguments: list[str], image: str = "standin/karmada:v1") -> None:
    labels = {"app": name}
    host.ensure(
        "/apis/apps/v1/namespaces/karmada-system/deployments",
        {
            "metadata": {"name": name},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "hostNetwork": True,
                        "containers": [{"name": name, "image": image, "args": arguments}],
                    },
                },
            },
        },
    )


def deinit(options: argparse.Namespace) -> None:
    host = Api(options.kubeconfig)
    host.request("DELETE", "/api/v1/namespaces/karmada-system")
    for _ in range(300):
        try:
            host.request("GET", "/api/v1/namespaces/karmada-system")
        except urllib.error.HTTPError:
            return
        time.sleep(0.1)
    fail("namespace karmada-system does not go")


def token(options: argparse.Namespace) -> None:
    api = Api(options.kubeconfig)
    if options.action == "delete":
        # Its Secret goes with it.
        api.request("DELETE", f"/api/v1/namespaces/kube-system/serviceaccounts/invitation-{options.value}")
        return
    name = secrets.token_hex(3)
    made = account(api, "kube-system", f"invitation-{name}")
    digest = hashlib.sha256(api.authority.encode()).hexdigest()
    print(
        f"karmadactl register {api.server.removeprefix('https://')} "
        f"--token {name}.{made} --discovery-token-ca-cert-hash sha256:{digest}"
    )


def register(options: argparse.Namespace) -> None:
    bearer = options.token.partition(".")[2]
    url = f"https://{options.endpoint}/api/v1/namespaces/kube-public/configmaps/cluster-info"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {bearer}"})
    try:
        with urllib.request.urlopen(request, context=ssl._create_unverified_context(), timeout=20) as answer:
            info = json.load(answer)
    except OSError as exc:
        fail(f"couldn't validate the identity of the API Server: {exc}")
    cluster = json.loads(info["data"]["kubeconfig"])["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster["certificate-authority-data"])
    if f"sha256:{hashlib.sha256(authority).hexdigest()}" != options.discovery_token_ca_cert_hash:
        fail("cluster CA found in cluster-info ConfigMap is invalid: none of the public keys are pinned")
    name = options.cluster_name
    document = {
        "clusters": [{"name": "karmada", "cluster": cluster}],
        "users": [{"name": "karmada", "user": {"token": bearer}}],
    }
    karmada = Api(document)
    karmada.ensure("/api/v1/namespaces", {"metadata": {"name": f"karmada-es-{name}"}})
    own = account(karmada, "karmada-cluster", f"karmada-agent-{name}")
    context = {"name": "karmada", "context": {"cluster": "karmada", "user": "karmada"}}
    document |= {"apiVersion": "v1", "kind": "Config", "contexts": [context], "current-context": "karmada"}
    document["users"][0]["user"] = {"token": own}
    path = Path("/etc/karmada/karmada-agent.conf")  # where karmadactl leaves it
    path.parent.mkdir(exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(document), encoding="utf-8")
    Path("/etc/karmada/member.json").write_text(
        json.dumps({"cluster": name, "kubeconfig": str(path)}), encoding="utf-8"
    )
    shown = subprocess.run(
        ["systemctl", "show", "--property", "MainPID", "--value", "k3s.service"],
        capture_output=True,
        text=True,
        check=True,
    )
    os.kill(int(shown.stdout), 1)  # the stand-in for k3s starts its control plane anew, as a member
    for _ in range(300):
        try:
            Api(document).request("GET", f"/apis/cluster.karmada.io/v1alpha1/clusters/{name}")
        except urllib.error.HTTPError:
            time.sleep(0.1)
        else:
            return
    fail(f"cluster {name} did not join")


def join(options: argparse.Namespace) -> None:
    member = Api(options.cluster_kubeconfig)
    member.request("GET", "/version")  # it must be reached from here
    karmada = Api(options.kubeconfig)
    karmada.ensure("/api/v1/namespaces", {"metadata": {"name": f"karmada-es-{options.name}"}})
    body = {"metadata": {"name": options.name}, "spec": {"syncMode": "Push", "apiEndpoint": member.server}}
    karmada.ensure(
        "/apis/cluster.karmada.io/v1alpha1/clusters",
        {"apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster", **body},
    )


def addons(options: argparse.Namespace) -> None:
    # What is looked at is that it is there; a pod that says nothing more stands for it.
    deploy(Api(options.kubeconfig), options.name, [], image="standin/silent:v1")


def main() -> int:
    parser = argparse.ArgumentParser(prog="karmadactl")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, action: Any, **flags: Any) -> argparse.ArgumentParser:
        one = commands.add_parser(name)
        one.set_defaults(action_of=action)
        for flag, default in flags.items():
            kind = type(default) if isinstance(default, int) and not isinstance(default, bool) else str
            one.add_argument(f"--{flag.replace('_', '-')}", default=default, type=kind)
        return one

    command(
        "init", init, kubeconfig="", crds="", karmada_data="/etc/karmada", karmada_pki="/etc/karmada/pki",
        etcd_data="/var/lib/karmada-etcd", port=32443, karmada_apiserver_advertise_address="", cert_external_ip="",
        wait_component_ready_timeout=120, private_image_registry="",
    )  # fmt: skip
    one = command("deinit", deinit, kubeconfig="")
    one.add_argument("--force", action="store_true")
    one.add_argument("--purge-namespace", action="store_true")
    one = command("token", token, kubeconfig="", ttl="24h")
    one.add_argument("action", choices=["create", "delete"])
    one.add_argument("value", nargs="?")
    one.add_argument("--print-register-command", action="store_true")
    one = command(
        "register", register, cluster_name="", token="", discovery_token_ca_cert_hash="", kubeconfig="",
        discovery_timeout="", karmada_agent_image="",
    )  # fmt: skip
    one.add_argument("endpoint")
    one = command("join", join, kubeconfig="", cluster_kubeconfig="")
    one.add_argument("name")
    one = command("addons", addons, kubeconfig="", karmada_kubeconfig="", private_image_registry="")
    one.add_argument("action", choices=["enable"])
    one.add_argument("name")
    options = parser.parse_args()
    options.action_of(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
