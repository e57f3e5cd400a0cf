"""Node agents that are pods turn knobs of their nodes: a new pod leaves them as they are, and a removal puts them back, of one or of all.

The clusters are control planes and kubelets of the embedded engine, a pod of ours is a real process (`standins/contained.py`), and
the knobs are those of recorded machines.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from clusters import CONTINUUM, ON_CLUSTERS, Clusters, remove_state_of_pods
from mlsysops_core.model.agents import UNINSTALL, UNINSTALLED
from newcomer import Newcomer, wait_for

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "agents" / "support"))

from machines import CPUFREQ, acpi_cpufreq, snapshot

pytestmark = ON_CLUSTERS
CONTAINED = str(Path(__file__).parent / "standins/contained.py")
BLOCK = "127.124"
NODES = ("node-a", "node-b")
GOVERNOR = f"{CPUFREQ}/policy0/scaling_governor"
POLICY = """
def initialize():
    return {"scope": "node", "mechanisms": ["cpu_frequency"], "configuration": {"analyze_interval": "1s"}}


async def analyze(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    policies = mechanisms["cpu_frequency"]["state"]["policies"]
    return any(item["governor"] != "performance" for item in policies.values()), context


async def plan(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return {"cpu_frequency": {"governor": "performance"}}, context
"""


class Machines:
    """The recorded machines of the nodes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for node in NODES:
            acpi_cpufreq(directory / node / "root")
        self.before = {node: snapshot(directory / node / "root") for node in NODES}

    def file(self, node: str) -> Path:
        return self.directory / node / "root" / GOVERNOR

    def governors(self) -> dict[str, str]:
        return {node: self.file(node).read_text().strip() for node in NODES}

    def is_as_before(self, node: str) -> bool:
        return snapshot(self.directory / node / "root") == self.before[node]


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Machines:
    return Machines(tmp_path_factory.mktemp("machines"))


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory, machines: Machines) -> Iterator[Clusters]:
    """A continuum, the cluster on which it is said to run, and a member with two nodes."""
    agents = [sys.executable, CONTAINED, f"{BLOCK}.2.1:6443", "mlsysops_agents", f"--machines={machines.directory}"]
    northbound = [sys.executable, CONTAINED, f"{BLOCK}.2.1:6443", "mlsysops_northbound"]
    images = [
        {"image": "mlsysops-agents:*", "exec": agents, "ignore_user": True},
        {"image": "mlsysops-northbound:*", "exec": northbound, "ignore_user": True},
    ]
    root = tmp_path_factory.mktemp("clusters")
    made = Clusters(root, {"host": ["host-node"], "member1": list(NODES)}, images, block=BLOCK)
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
    remove_state_of_pods("xknobs")


def inventory(person: Newcomer, clusters: Clusters) -> str:
    """Write an inventory of the clusters; returns its name."""
    management = {
        "k3s_cluster_name": "continuum",
        "mls_kubeconfig": str(clusters.kubeconfig(CONTINUUM)),
        "mls_karmada_host_kubeconfig": str(clusters.kubeconfig("host")),
    }
    member = {"k3s_cluster_name": "member1", "mls_kubeconfig": str(clusters.kubeconfig("member1"))}
    variables = {
        "mls_slice": "xknobs",
        "mls_engine": "existing",
        "mls_node_agent_privileged": True,
        "ansible_connection": "local",
    }
    children = {
        "management_cluster": {"hosts": {"mgmt": management}},
        "member1": {"children": {"master_nodes": {"hosts": {"api1": member}}}},
    }
    (person.work / "knobs.yml").write_text(yaml.safe_dump({"all": {"vars": variables, "children": children}}))
    return "knobs.yml"


def agent_pods(clusters: Clusters) -> dict[str, dict[str, Any]]:
    """Node to the node agent's pod."""
    selector = "app.kubernetes.io/name=node-agent"
    found = clusters.json("member1", "pods", "-n", "mlsysops-framework", "-l", selector)["items"]
    return {pod["spec"]["nodeName"]: pod for pod in found if not pod["metadata"].get("deletionTimestamp")}


def processes_of(machines: Machines, node: str) -> list[int]:
    """Process ids of a node's agent."""
    wanted = (f"--machines={machines.directory}".encode(), f"/etc/mlsysops/{node}.yaml".encode())
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdecimal() else []
            if all(word in command for word in wanted) and command[0] == os.fsencode(sys.executable):
                found.append(int(entry.name))
    return found


def told_alone(person: Newcomer, clusters: Clusters, node: str) -> bool:
    """Have one node's agent put settings back as the playbook `remove_nodes` does; returns whether it had to."""
    plugins = Path(__file__).parents[2] / "mlsysops_cli/ansible_plugins"
    namespace = {"namespace": "mlsysops-framework"}
    arguments = {
        "kubeconfig": str(clusters.kubeconfig("member1")),
        "node": node,
        "request": {**namespace, "name": f"{UNINSTALL}-{node}"},
        "lease": {**namespace, "name": f"mlsysops-node-{node}"},
        "annotation": UNINSTALLED,
    }
    # The interpreter is this one, as of tasks that are delegated to this machine.
    here = f"-e ansible_python_interpreter={sys.executable} -M {plugins}/modules"
    person.environment["ANSIBLE_MODULE_UTILS"] = str(plugins / "module_utils")
    said = person.run(
        f"ansible localhost -c local {here} -m mls_farewell -a '{json.dumps(arguments)}'", timeout=120
    ).out
    return bool(json.loads(said[said.index("{") :])["changed"])


@pytest.mark.skipif(os.geteuid() != 0, reason="a node agent keeps its state below /var/lib, which is root's")
def test_settings_outlive_pods_and_not_the_slice(person: Newcomer, clusters: Clusters, machines: Machines) -> None:
    file = inventory(person, clusters)
    person.run(f"mls framework deploy-all -i {file}", timeout=400)
    for node in NODES:
        patch = '{"spec":{"permitted_actions":["cpu_frequency"]}}'
        clusters.kubectl(CONTINUUM, "patch", "mlsysopsnode", node, "-n", "mlsysops", "--type=merge", "-p", patch)
    (person.work / "policy-fast.py").write_text(POLICY)
    person.run("mls agent set-policy --agent node --file policy-fast.py", timeout=120)
    wait_for("both nodes are fast", lambda: set(machines.governors().values()) == {"performance"}, timeout=90)

    # A pod of a rollout, or after a reboot, goes on from there: nothing is put back and nothing is set again.
    written, old = machines.file("node-a").stat().st_mtime_ns, agent_pods(clusters)["node-a"]["metadata"]
    clusters.kubectl("member1", "delete", "pod", old["name"], "-n", old["namespace"], "--timeout=60s")

    def is_back() -> bool:
        leases = clusters.json("member1", "lease", "mlsysops-node-node-a", "-n", "mlsysops-framework")
        pod = agent_pods(clusters)["node-a"]
        # One tells microseconds and the other does not: an agent that starts within a second has acquired it, too.
        acquired, started = leases["spec"]["acquireTime"][:19], pod["metadata"]["creationTimestamp"][:19]
        return bool(pod["metadata"]["uid"] != old["uid"] and acquired >= started)

    wait_for("another pod holds the Lease", is_back, timeout=90)

    def decides() -> bool:
        pod = agent_pods(clusters)["node-a"]["metadata"]
        return "policy fast: revision 1 is loaded" in clusters.kubectl(
            "member1", "logs", pod["name"], "-n", pod["namespace"]
        )

    wait_for("the policy runs in it", decides, timeout=90)
    assert machines.file("node-a").stat().st_mtime_ns == written

    # One node leaves alone, as one of a slice on k3s does: the other's settings stay.
    assert told_alone(person, clusters, "node-a") is True
    assert machines.is_as_before("node-a")
    assert machines.governors()["node-b"] == "performance"
    assert told_alone(person, clusters, "host-node") is False  # it has no agent

    # One agent hangs: the other's node is as before, and what is left to do is said in one line.
    hanging = processes_of(machines, "node-b")
    assert hanging
    for pid in hanging:
        os.kill(pid, signal.SIGSTOP)
    try:
        done = person.run("mls framework destroy-all --yes --remove-applications --purge", expect=None, timeout=400)
    finally:
        for pid in hanging:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert machines.is_as_before("node-a")
    assert machines.governors()["node-b"] == "performance"
    assert done.code not in (0, 1, 2), done.err
    (told,) = [line for line in done.err.splitlines() if "were not put back" in line]
    assert "settings of 1 nodes were not put back: node-b (its agent did not answer within 60 s)" in told
    assert "slice xknobs is gone" in done.out
    assert not person.run("mls context list -o name").out.strip()
    names = clusters.json("member1", "daemonsets,configmaps,leases", "-A")["items"]
    assert not [obj for obj in names if "mlsysops" in obj["metadata"]["name"]]
