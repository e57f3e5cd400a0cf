"""Every role alone on real hosts, with plain ansible-playbook: in check mode on bare hosts, twice, and its way back.

The roles of Kubernetes engines have tests of their own beside the engines they are for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hosts import ON_HOSTS, Bed, boot
from plays import ROOT, Played, Plays, role

pytestmark = ON_HOSTS
HOSTS = ("mgmt", "server", "worker1")
#: Roles in the order of a deployment, the hosts they are for, and whether they change a bare host and have a way back.
ROLES = {
    "validate_inventory": ("mls_plan.hosts.keys() | list", False),
    "preflight": ("mls_plan.hosts.keys() | list", False),
    "common": ("mls_plan.hosts.keys() | list", True),
    "mlsysops_runtime": ("mls_plan.hosts.keys() | list", True),
    "controlplane_embedded": ("mls_plan.groups.management + mls_plan.groups.servers", True),
    "node_embedded": ("mls_plan.groups.workers", True),
    "telemetry": ("mls_plan.groups.agents", True),
    "agents": ("mls_plan.groups.agents", True),
    "northbound": ("mls_plan.groups.northbound", True),
    "far_edge_gateway": ("mls_plan.groups.gateways", True),
}
#: Roles whose tests are elsewhere: those of the engines k3s and existing.
ELSEWHERE = {
    "kubernetes_credentials",
    "agents_kubernetes",
    "artifacts",
    "k3s_agent",
    "k3s_server",
    "karmada",
    "kubernetes_objects",
}
#: What roles after the environment run their modules with.
OWN_PYTHON = {"controlplane_embedded", "node_embedded", "telemetry", "agents", "northbound"}
TOKEN = "Bearer of-the-collector"
#: Ansible's directory on the hosts, which `mlsysops_runtime` removes.
TEMPORARY = "/var/tmp/.mls-hosts"


class Player:
    """Runs every role, each in a play of its own, on the hosts of a slice whose plan has been made and which is not deployed."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        document = yaml.safe_load(Path(bed.inventory).read_text())
        del document["all"]["children"]["cluster1"]["children"]["worker_nodes"]["hosts"]["worker2"]
        document["all"]["vars"] |= {
            "mls_otlp_endpoint": f"http://{bed.address['mgmt']}:4318",
            "mls_otlp_headers": {"Authorization": TOKEN},
            "mls_sysctl": {"net.core.somaxconn": 5000},
        }
        inventory = bed.person.work / "roles.yml"
        inventory.write_text(yaml.safe_dump(document, sort_keys=False))
        self.site: list[dict[str, Any]] = yaml.safe_load((ROOT / "playbooks/site.yml").read_text())
        self.plays = Plays(bed.person, inventory, ANSIBLE_REMOTE_TEMP=TEMPORARY)

    def play(self, *options: str, remove: bool = False, bare: bool = False) -> dict[str, Played]:
        """Run every role (or its way back, from the last to the first), each in a play of its own.

        Args:
            options: Of ansible-playbook.
            remove: The way back.
            bare: The hosts have no environment of ours to run modules with.
        """
        plays: list[dict[str, Any]] = []
        names = [name for name in reversed(ROLES) if ROLES[name][1]] if remove else list(ROLES)
        for name in names:
            play = role(name, ROLES[name][0], "remove" if remove else "main")
            if name in OWN_PYTHON and not bare:
                play["vars"] = {"ansible_python_interpreter": "{{ mls_plan.hosts[inventory_hostname].python }}"}
            if name == "far_edge_gateway" and not bare:
                # It tells the cluster's API, to which this machine has access from here on.
                plays += [one for one in self.site if one["name"] == "Access from here"]
            plays.append(play)
        return self.plays.run(plays, *options)

    def state(self, host: str) -> set[str]:
        """What a host has, but for Ansible's own directory."""
        return {line for line in self.bed.contents(host) if TEMPORARY not in line}


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Player]:
    for bed in boot(tmp_path_factory.mktemp("home")):
        made = Player(bed)
        try:
            yield made
        finally:
            bed.person.run("mls framework destroy-all --yes -q", timeout=300, expect=None)


@pytest.fixture(scope="module")
def bare(player: Player) -> dict[str, set[str]]:
    """What the hosts had before."""
    return {host: player.state(host) for host in HOSTS}


@pytest.fixture(scope="module")
def checked(player: Player, bare: dict[str, set[str]]) -> dict[str, Played]:
    """Check mode on bare hosts."""
    return player.play("--check", "--diff", bare=True)


@pytest.fixture(scope="module")
def first(player: Player, checked: object) -> dict[str, Played]:
    return player.play()


@pytest.fixture(scope="module")
def second(player: Player, first: object) -> dict[str, Played]:
    return player.play()


@pytest.fixture(scope="module")
def way_back(player: Player, second: object) -> list[dict[str, Played]]:
    """In check mode, really, and again."""
    return [player.play(*options, remove=True, bare=True) for options in (["--check"], [], [])]


def test_every_role_is_tested() -> None:
    assert {path.name for path in (ROOT / "roles").iterdir() if path.is_dir()} - ELSEWHERE == set(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_check_mode_on_bare_hosts(checked: dict[str, Played], role: str) -> None:
    assert checked[role].failed == 0, checked[role].text
    assert (checked[role].changed > 0) == ROLES[role][1], checked[role].text


def test_check_mode_changed_nothing(player: Player, bare: dict[str, set[str]], checked: object) -> None:
    for host in HOSTS:
        assert sorted(player.state(host) ^ bare[host]) == [], host


@pytest.mark.parametrize("role", ROLES)
def test_alone_and_twice(first: dict[str, Played], second: dict[str, Played], role: str) -> None:
    assert first[role].failed == 0, first[role].text
    assert (first[role].changed > 0) == ROLES[role][1], first[role].text
    assert (second[role].failed, second[role].changed) == (0, 0), second[role].text


def test_what_the_roles_did(player: Player, second: object) -> None:
    bed = player.bed
    assert bed.ssh("worker1", "cat /proc/sys/net/core/somaxconn").strip() == "5000"
    assert bed.ssh("worker1", "stat -c %a /var/lib/mlsysops/hosts/worker1/otlp-headers").strip() == "600"
    assert bed.ssh("worker1", "cat /var/lib/mlsysops/hosts/worker1/far-edge.json").count('"edge"') == 1


@pytest.mark.parametrize("role", [role for role, (_, changes) in ROLES.items() if changes])
def test_the_way_back_of_each(way_back: list[dict[str, Played]], role: str) -> None:
    checked, gone, again = (played[role] for played in way_back)
    assert (checked.failed, gone.failed) == (0, 0), checked.text + gone.text
    assert checked.changed > 0, checked.text
    assert gone.changed > 0, gone.text
    assert (again.failed, again.changed) == (0, 0), again.text


def test_the_hosts_are_as_they_were(player: Player, bare: dict[str, set[str]], way_back: object) -> None:
    for host in HOSTS:
        assert sorted(player.state(host) ^ bare[host]) == [], host
        assert player.bed.ssh(host, "cat /proc/sys/net/core/somaxconn").strip() != "5000"
