"""Clusters that exist: kubeconfigs in, a running application out, with agents as processes and as pods; and back.

The clusters are control planes and kubelets of the embedded engine, started by hand (`clusters`); a pod of one of our
images is a real process of our program (`standins/contained.py`).
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from clusters import CONTINUUM, Clusters, Planes, remove_state_of_pods
from newcomer import Newcomer, wait_for

pytestmark = [
    pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl in PATH"),
    pytest.mark.timeout(900),
]
CONTAINED = str(Path(__file__).parent / "standins/contained.py")
#: Kinds of which nothing may be left.
KINDS = (
    "serviceaccounts,secrets,configmaps,roles,rolebindings,clusterroles,clusterrolebindings,services,"
    "deployments,daemonsets,pods,namespaces,customresourcedefinitions"
)
CONFLICT = 7
OURS = re.compile(r"mlsysops")


def images(api: str) -> list[dict[str, Any]]:
    """What the kubelets run for each of our images."""
    # The interpreter may lie where nobody but this user can reach it.
    return [
        {
            "image": "mlsysops-agents:*",
            "exec": [sys.executable, CONTAINED, api, "mlsysops_agents"],
            "ignore_user": True,
        },
        {
            "image": "mlsysops-northbound:*",
            "exec": [sys.executable, CONTAINED, api, "mlsysops_northbound"],
            "ignore_user": True,
        },
        {"image": "harbor.nbfc.io/mlsysops/test-app:*", "exec": [sys.executable, "-m", "mlsysops_testapp"]},
    ]


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    """A continuum, the cluster on which it is said to run, and a member with two nodes."""
    root = tmp_path_factory.mktemp("clusters")
    made = Clusters(root, {"host": ["host-node"], "member1": ["node-a", "node-b"]}, images("127.121.2.1:6443"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Newcomer]:
    """Somebody with an empty home, of whom nothing is left in the end."""
    newcomer = Newcomer(tmp_path, Path(__file__).parents[2])
    yield newcomer
    newcomer.run("mls framework destroy-all --yes --remove-applications --purge --abandon", expect=None, timeout=400)
    for pid in newcomer.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    remove_state_of_pods("xpods")


def inventory(person: Newcomer, clusters: Planes, form: str, **more: Any) -> str:
    """Write an inventory of the clusters; returns its name."""
    api = {"k3s_cluster_name": "member1", "mls_kubeconfig": str(clusters.kubeconfig("member1"))}
    management: dict[str, Any] = {
        "k3s_cluster_name": "continuum",
        "mls_kubeconfig": str(clusters.kubeconfig(CONTINUUM)),
    }
    groups: dict[str, Any] = {"master_nodes": {"hosts": {"api1": api | more.get("api", {})}}}
    if form == "processes":
        nodes = {name: {"k3s_cluster_name": "member1"} for name in more.get("workers", ("node-a", "node-b"))}
        groups["worker_nodes"] = {"hosts": nodes}
    else:
        management["mls_karmada_host_kubeconfig"] = str(clusters.kubeconfig("host"))
    document = {
        "all": {
            "vars": {
                "mls_slice": f"x{form}",
                "mls_engine": "existing",
                "mls_agents": form,
                "ansible_connection": "local",
                **more.get("vars", {}),
            },
            "children": {
                "management_cluster": {"hosts": {"mgmt": management | more.get("management", {})}},
                "member1": {"children": groups},
            },
        }
    }
    (person.work / f"{form}.yml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return f"{form}.yml"


def ours(clusters: Clusters) -> dict[str, set[str]]:
    """Everything of each API that has our name in it."""
    found = {}
    for name in (CONTINUUM, *clusters.members):
        listed = clusters.json(name, KINDS, "-A")["items"]
        names = {f"{o['kind']} {o['metadata'].get('namespace', '')}/{o['metadata']['name']}" for o in listed}
        found[name] = {one for one in names if OURS.search(one)}
    return found


def run_application(person: Newcomer, file: str) -> None:
    """Deploy the test application and wait until its components have talked to each other."""
    person.run(f"mls framework create-app-test-description -i {file} --force")
    person.run("mls apps deploy-app --path mlsysops-app-test-description.yaml --wait --timeout 120", timeout=180)

    def values() -> bool:
        rows = person.run("mls apps get-app-performance test-application -o json").json()["items"]
        return bool(rows) and all(row["value"] is not None and row["value"] > 0 for row in rows)

    wait_for("metrics of both components", values, timeout=90)


def test_every_fault_is_named_before_anything_is_changed(person: Newcomer, clusters: Clusters) -> None:
    reader = person.home / "reader.config"
    admin = yaml.safe_load(clusters.kubeconfig("member1").read_text(encoding="utf-8"))
    clusters.kubectl("member1", "create", "serviceaccount", "reader", "-n", "default")
    try:
        token = clusters.kubectl("member1", "create", "token", "reader", "-n", "default").strip()
        admin["users"] = [{"name": admin["users"][0]["name"], "user": {"token": token}}]
        reader.write_text(yaml.safe_dump(admin), encoding="utf-8")
        cases = [
            ({"api": {"mls_kubeconfig": "nowhere.config"}}, 3, "no kubeconfig .*nowhere.config"),
            ({"api": {"mls_context": "other"}}, 3, "has no context 'other' .*set mls_context to one of: member1"),
            ({"api": {"mls_kubeconfig": str(clusters.kubeconfig(CONTINUUM))}}, 3, "is a Karmada API, not a cluster"),
            ({"management": {"mls_kubeconfig": str(clusters.kubeconfig("member1"))}}, 3, "it is no Karmada API"),
            ({"api": {"mls_kubeconfig": str(clusters.kubeconfig("host"))}}, 3, "member1 is another cluster than the one"),
            ({"api": {"mls_kubeconfig": str(reader)}}, 3, "may not get, create, patch, delete namespaces"),
            ({"workers": ("node-c",)}, 3, r"has no node node-c .*nodes: node-a, node-b"),
            ({"api": {"k3s_cluster_name": "other"}, "workers": ()}, 3, "Karmada has no member other .*members: host, member1"),
        ]  # fmt: skip
        for more, code, message in cases:
            file = inventory(person, clusters, "processes", **more)
            done = person.run(f"mls framework deploy-all -i {file}", expect=None)
            assert (done.code, bool(re.search(message, done.err))) == (code, True), f"{message}\n{done.err}"
        admin["clusters"][0]["cluster"]["server"] = "https://127.121.250.250:6443"
        reader.write_text(yaml.safe_dump(admin), encoding="utf-8")
        file = inventory(person, clusters, "processes", api={"mls_kubeconfig": str(reader)})
        done = person.run(f"mls framework deploy-all -i {file}", expect=None)
        assert "https://127.121.250.250:6443 does not answer" in done.err
    finally:
        clusters.kubectl("member1", "delete", "serviceaccount", "reader", "-n", "default")
    assert ours(clusters) == {name: set() for name in (CONTINUUM, "host", "member1")}
    assert not list(person.home.rglob("slice.json"))


@contextlib.contextmanager
def others_have_names_of_ours(clusters: Planes) -> Iterator[None]:
    """Somebody made an account and its permissions in the member, by chance under names of ours."""
    account = ("serviceaccount", "mlsysops-cluster-agent", "-n", "mlsysops-framework")
    clusters.kubectl("member1", "create", "namespace", "mlsysops-framework")
    clusters.kubectl("member1", "create", *account)
    clusters.kubectl("member1", "create", "clusterrole", "mlsysops-cluster-agent", "--verb=get", "--resource=pods")
    try:
        yield
    finally:
        clusters.kubectl("member1", "delete", "namespace", "mlsysops-framework")
        clusters.kubectl("member1", "delete", "clusterrole", "mlsysops-cluster-agent", "--ignore-not-found")


def test_what_others_made_under_names_of_ours_is_not_taken_over(person: Newcomer, clusters: Clusters) -> None:
    def everything() -> list[Any]:
        return [clusters.json(name, KINDS, "-A")["items"] for name in (CONTINUUM, "member1")]

    file = inventory(person, clusters, "processes")
    with others_have_names_of_ours(clusters):
        before = everything()
        for options in ("", "--check"):
            done = person.run(f"mls framework deploy-all -i {file} {options}", expect=CONFLICT)
            of_cluster, summary = [one for one in done.err.splitlines() if one.startswith("error:")]
            assert of_cluster.startswith("error: host api1 (cluster member1): others made ")
            assert "ServiceAccount mlsysops-framework/mlsysops-cluster-agent" in of_cluster
            assert "ClusterRole mlsysops-cluster-agent" in of_cluster
            assert "--take-ownership" in summary
        assert everything() == before
    assert not list(person.home.rglob("slice.json"))


def test_agents_as_processes(person: Newcomer, clusters: Clusters) -> None:
    file = inventory(person, clusters, "processes")
    with others_have_names_of_ours(clusters):
        agents_as_processes(person, clusters, file)


def another_slice_is_refused(person: Newcomer, file: str) -> None:
    """A second slice would have objects of the same names on these clusters."""
    document = yaml.safe_load((person.work / file).read_text(encoding="utf-8"))
    first = document["all"]["vars"]["mls_slice"]
    document["all"]["vars"]["mls_slice"] = "second"
    second = person.work / "second.yml"
    second.write_text(yaml.safe_dump(document), encoding="utf-8")
    done = person.run(f"mls framework deploy-all -i {second}", expect=CONFLICT)
    assert f"of slice {first}" in done.err
    assert "--take-ownership" in done.err
    assert not list(person.home.rglob("slices/second/slice.json"))


def agents_as_processes(person: Newcomer, clusters: Clusters, file: str) -> None:
    """Deploy, taking over what others made, run an application, and remove all of it."""
    done = person.run(f"mls framework deploy-all -i {file} -o json --take-ownership", timeout=400).json()
    assert done["changed"] > 0
    again = person.run(f"mls framework deploy-all -i {file} -o json", timeout=400).json()
    assert again["changed"] == 0
    another_slice_is_refused(person, file)
    status = person.run("mls framework status -o json").json()
    assert {p["name"] for p in status["processes"]} == {
        "mgmt-continuum-agent", "mgmt-northbound", "api1-cluster-agent", "node-a-node-agent", "node-b-node-agent",
    }  # fmt: skip
    tokens_stay_where_they_belong(person, clusters)
    run_application(person, file)

    refused = person.run("mls framework destroy-all --yes", expect=5)
    assert "test-application" in refused.err
    person.run("mls framework destroy-all --yes --remove-applications", timeout=400)
    kept = {re.sub(r"^(\w+) .*", r"\1", one) for names in ours(clusters).values() for one in names}
    assert kept <= {"Namespace", "CustomResourceDefinition", "ServiceAccount", "ConfigMap"}  # a namespace's own
    for name in (CONTINUUM, "member1"):
        assert not clusters.json(name, "mlsysopsnodes,mlsysopsclusters,mlsysopsapps", "-A")["items"]
    assert clusters.condition(CONTINUUM, "cluster", "member1")
    assert person.processes() == []


def tokens_stay_where_they_belong(person: Newcomer, clusters: Clusters) -> None:
    """No token of an agent is in any file but a kubeconfig that only its owner reads, nor in a command line."""
    tokens = [
        base64.b64decode(secret["data"]["token"])
        for name in (CONTINUUM, "member1")
        for secret in clusters.json(name, "secrets", "-n", "mlsysops-framework")["items"]
        if secret["type"] == "kubernetes.io/service-account-token"
    ]
    assert len(tokens) == 5
    holders = []
    for path in person.home.rglob("*"):
        if path.is_file() and any(token in path.read_bytes() for token in tokens):
            assert path.stat().st_mode & 0o077 == 0, path
            holders.append(path.name)
    assert sorted(holders) == [
        "cluster-agent.kubeconfig", "continuum-agent.kubeconfig", "node-agent.kubeconfig", "node-agent.kubeconfig",
        "northbound.kubeconfig",
    ]  # fmt: skip
    for pid in person.processes():
        about = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert not any(token in about for token in tokens)


@pytest.fixture
def collector() -> Iterator[tuple[str, set[tuple[str, str | None]]]]:
    """A collector of the user's; its URL, and what it was sent with which token."""
    taken: set[tuple[str, str | None]] = set()

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            taken.add((self.path, self.headers["Authorization"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", taken
        server.shutdown()
        thread.join()


@pytest.mark.skipif(os.geteuid() != 0, reason="a node agent keeps its state below /var/lib, which is root's")
def test_agents_as_pods(
    person: Newcomer, clusters: Clusters, collector: tuple[str, set[tuple[str, str | None]]]
) -> None:
    headers = {"Authorization": "Bearer of-the-collector"}
    file = inventory(person, clusters, "pods", vars={"mls_otlp_endpoint": collector[0], "mls_otlp_headers": headers})
    done = person.run(f"mls framework deploy-all -i {file} -o json", timeout=400).json()
    assert done["northbound"] == "https://127.121.1.10:8000"
    again = person.run(f"mls framework deploy-all -i {file} -o json", timeout=400).json()
    assert again["changed"] == 0
    pods = clusters.json("member1", "pods", "-n", "mlsysops-framework")["items"]
    nodes = {(p["spec"]["containers"][0]["args"][0], p["spec"]["nodeName"]) for p in pods}
    assert nodes == {("cluster", "node-a"), ("node", "node-a"), ("node", "node-b")}
    run_application(person, file)
    assert person.run("mls framework status").out.startswith("Slice xpods: ready, 1 application")
    described = person.run("mls infra list").out
    assert "node-a" in described
    assert "node-b" in described
    # Their metrics and traces go to the user's collector, with what that wants, which is nowhere but in a Secret.
    sent = {(path, headers["Authorization"]) for path in ("/v1/metrics", "/v1/traces")}
    wait_for("metrics and traces at the collector", lambda: collector[1] == sent, timeout=120)
    state = person.home / ".local/share/mlsysops"
    assert not [path for path in state.rglob("*") if path.is_file() and b"of-the-collector" in path.read_bytes()]

    person.run("mls framework destroy-all --yes --remove-applications --purge", timeout=400)
    assert ours(clusters) == {name: set() for name in (CONTINUUM, "host", "member1")}
    assert clusters.condition(CONTINUUM, "cluster", "member1")
