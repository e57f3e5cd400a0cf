"""Every role of the engine `existing` alone, with plain ansible-playbook: in check mode, twice, and its way back."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from clusters import CONTINUUM, Clusters, remove_state_of_pods
from newcomer import Newcomer
from plays import Played, Plays, role

pytestmark = [
    pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl in PATH"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a node agent keeps its state below /var/lib, which is root's"),
    pytest.mark.timeout(600),
]
CONTAINED = str(Path(__file__).parent / "standins/contained.py")
KINDS = "serviceaccounts,secrets,configmaps,clusterroles,clusterrolebindings,rolebindings,deployments,daemonsets"
#: Roles in the order of a deployment: who they are for, and which of their tasks are the way there and back.
PODS = {
    "kubernetes_objects": ("mls_plan.groups.apis", "main", "remove"),
    "kubernetes_credentials": ("mls_plan.groups.pods", "secrets", ""),  # Secrets go with the objects
    "agents_kubernetes": ("mls_plan.groups.pods", "main", "remove"),
}
PROCESSES = {
    "kubernetes_objects": ("mls_plan.groups.apis", "main", "remove"),
    "kubernetes_credentials": ("mls_plan.groups.credentials", "main", "remove"),
}
#: Writes the plan of the way back: everything that was applied.
REMOVAL = """
import json, sys
from pathlib import Path
from mlsysops_cli.actions.framework.removal import removal_plan
plan = Path(sys.argv[1])
removal = removal_plan(json.loads(plan.read_text())["mls_plan"], plan.parent)
Path(sys.argv[2]).write_text(json.dumps({"mls_plan": removal}))
"""


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    """A continuum, the cluster on which it is said to run, and a member."""
    images = [
        {
            "image": f"mlsysops-{name}:*",
            "exec": [sys.executable, CONTAINED, "127.123.2.1:6443", f"mlsysops_{name}"],
            "ignore_user": True,
        }
        for name in ("agents", "northbound")
    ]
    made = Clusters(
        tmp_path_factory.mktemp("clusters"), {"host": ["h"], "member1": ["node-a"]}, images, block="127.123"
    )
    try:
        made.start()
        yield made
    finally:
        made.stop()


class Player:
    """Plays the roles of one form of agents."""

    def __init__(self, person: Newcomer, clusters: Clusters, form: str) -> None:
        self.person, self.clusters = person, clusters
        self.roles = PODS if form == "pods" else PROCESSES
        inventory = person.work / "inventory.yml"
        inventory.write_text(yaml.safe_dump(self._inventory(form)), encoding="utf-8")
        self.plays = Plays(person, inventory)

    def _inventory(self, form: str) -> dict[str, Any]:
        management = {"k3s_cluster_name": "continuum", "mls_kubeconfig": str(self.clusters.kubeconfig(CONTINUUM))}
        if form == "pods":
            management["mls_karmada_host_kubeconfig"] = str(self.clusters.kubeconfig("host"))
        api = {"k3s_cluster_name": "member1", "mls_kubeconfig": str(self.clusters.kubeconfig("member1"))}
        groups: dict[str, Any] = {"master_nodes": {"hosts": {"api1": api}}}
        if form == "processes":
            groups["worker_nodes"] = {"hosts": {"node-a": {"k3s_cluster_name": "member1"}}}
        shared = {
            "mls_slice": f"alone-{form}", "mls_engine": "existing", "mls_agents": form, "ansible_connection": "local",
        }  # fmt: skip
        children = {"management_cluster": {"hosts": {"mgmt": management}}, "member1": {"children": groups}}
        return {"all": {"vars": shared, "children": children}}

    def there(self, *options: str) -> dict[str, Played]:
        return self.plays.run([role(name, hosts, tasks) for name, (hosts, tasks, _) in self.roles.items()], *options)

    def back(self, *options: str) -> dict[str, Played]:
        removal = self.person.work / "removal.json"
        (self.person.work / "removal.py").write_text(REMOVAL, encoding="utf-8")
        self.person.run(f"python removal.py {self.plays.plan} {removal}")
        plays = [role(name, hosts, back) for name, (hosts, _, back) in reversed(self.roles.items()) if back]
        return self.plays.run(plays, "-e", f"@{removal}", *options)

    def state(self) -> dict[str, set[str]]:
        """What the APIs have of ours; definitions and namespaces stay, since others may have put things into them."""
        found = {}
        for name in (CONTINUUM, *self.clusters.members):
            listed = self.clusters.json(name, KINDS, "-A")["items"]
            names = {f"{o['kind']} {o['metadata'].get('namespace', '')}/{o['metadata']['name']}" for o in listed}
            found[name] = {
                one for one in names if "mlsysops" in one and not one.endswith(("/default", "/kube-root-ca.crt"))
            }
        return found

    def files(self) -> set[str]:
        """Kubeconfigs of agents."""
        return {path.name for path in self.person.home.rglob("kubeconfigs/*.kubeconfig")}


@pytest.mark.parametrize("form", ["pods", "processes"])
def test_in_check_mode_twice_and_back(clusters: Clusters, tmp_path: Path, form: str) -> None:
    player = Player(Newcomer(tmp_path, Path(__file__).parents[2]), clusters, form)
    before = player.state()
    checked = player.there("--check", "--diff")
    assert {name: one.failed for name, one in checked.items()} == dict.fromkeys(player.roles, 0), checked
    assert all(one.changed for one in checked.values()), checked
    assert player.state() == before
    try:
        for changes in (True, False):
            played = player.there()
            assert {name: (one.failed, one.changed > 0) for name, one in played.items()} == dict.fromkeys(
                player.roles, (0, changes)
            ), played
        assert player.state() != before
        assert bool(player.files()) == (form == "processes")
    finally:
        deployed = player.state()
        ways = [player.back("--check")]
        checked_away = player.state()
        ways += [player.back(), player.back()]
        remove_state_of_pods("alone-pods")
    assert checked_away == deployed, "looking at what a removal would do removed something"
    for name in ways[0]:
        assert [(way[name].failed, way[name].changed > 0) for way in ways] == [(0, True), (0, True), (0, False)], ways
    assert player.state() == before
    assert player.files() == set()
