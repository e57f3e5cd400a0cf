"""Every role alone on real hosts, with plain ansible-playbook: in check mode on bare hosts, twice, and its way back.

The roles of Kubernetes engines have tests of their own beside the engines they are for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from hosts import INVENTORY_OF_A_HOST, ON_HOSTS, Bed, boot

pytestmark = ON_HOSTS
ROOT = Path(__file__).parents[2]
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
ELSEWHERE = {"agents_kubernetes", "artifacts", "k3s_agent", "k3s_server", "karmada", "kubernetes_objects"}
#: What roles after the environment run their modules with.
OWN_PYTHON = {"controlplane_embedded", "node_embedded", "telemetry", "agents", "northbound"}
TOKEN = "Bearer of-the-collector"


@dataclass(frozen=True)
class Played:
    """What ansible-playbook said."""

    changed: int
    failed: int
    text: str


class Player:
    """Runs one role on the hosts of a slice whose plan has been made and which is not deployed."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        document = yaml.safe_load(Path(bed.inventory).read_text())
        del document["all"]["children"]["cluster1"]["children"]["worker_nodes"]["hosts"]["worker2"]
        document["all"]["vars"] |= {
            "mls_otlp_endpoint": f"http://{bed.address['mgmt']}:4318",
            "mls_otlp_headers": {"Authorization": TOKEN},
            "mls_sysctl": {"net.core.somaxconn": 5000},
        }
        self.inventory = bed.person.work / "roles.yml"
        self.inventory.write_text(yaml.safe_dump(document, sort_keys=False))
        (bed.person.work / "plan.py").write_text(
            "import sys\n"
            "from mlsysops_cli.actions.framework.prepare import prepare\n"
            "from mlsysops_cli.settings import Settings\n"
            "made = prepare(Settings(), sys.argv[1], vault_password_file=None, descriptions=None, check=None)\n"
            "print(made.plan)\n"
        )
        self.plan = bed.person.run(f"python plan.py {self.inventory}", timeout=900).out.strip()
        plugins = ROOT / "mlsysops_cli/ansible_plugins"
        bed.person.environment |= {
            "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
            "ANSIBLE_LIBRARY": str(plugins / "modules"),
            "ANSIBLE_MODULE_UTILS": str(plugins / "module_utils"),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_NOCOLOR": "1",
        }

    def play(self, role: str, *options: str, remove: bool = False, bare: bool = False) -> Played:
        hosts, _ = ROLES[role]
        task = {"ansible.builtin.include_role": {"name": role, **({"tasks_from": "remove"} if remove else {})}}
        play = {"hosts": "{{ " + hosts + " }}", "gather_facts": False, "tasks": [task]}
        if role in OWN_PYTHON and not bare:
            play["vars"] = {"ansible_python_interpreter": "{{ mls_plan.hosts[inventory_hostname].python }}"}
        path = self.bed.person.work / "role.yml"
        path.write_text(yaml.safe_dump([play], sort_keys=False))
        return self.run(str(path), *options)

    def run(self, playbook: str, *options: str) -> Played:
        command = f"ansible-playbook -i {self.inventory} -e @{self.plan} {' '.join(options)} {playbook}"
        done = self.bed.person.run(command, timeout=300, expect=None)
        text = done.out + done.err
        recap = re.findall(r"changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", text)
        assert recap, text
        played = Played(sum(int(row[0]) for row in recap), sum(int(row[1]) + int(row[2]) for row in recap), text)
        assert (done.code == 0) == (played.failed == 0), text
        return played


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
    return {host: set(player.bed.ssh(host, INVENTORY_OF_A_HOST).splitlines()) for host in HOSTS}


def test_every_role_is_tested() -> None:
    assert {path.name for path in (ROOT / "roles").iterdir() if path.is_dir()} - ELSEWHERE == set(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_check_mode_on_bare_hosts(player: Player, bare: dict[str, set[str]], role: str) -> None:
    checked = player.play(role, "--check", "--diff", bare=True)
    assert checked.failed == 0, checked.text
    assert (checked.changed > 0) == ROLES[role][1], checked.text


def test_check_mode_changed_nothing(player: Player, bare: dict[str, set[str]]) -> None:
    for host in HOSTS:
        assert set(player.bed.ssh(host, INVENTORY_OF_A_HOST).splitlines()) == bare[host]


@pytest.mark.parametrize("role", ROLES)
def test_alone_and_twice(player: Player, bare: dict[str, set[str]], role: str) -> None:
    if role == "far_edge_gateway":  # it tells the cluster's API, to which this machine has access from here on
        assert player.run(str(ROOT / "playbooks/site.yml"), "--tags", "services").failed == 0
    first = player.play(role)
    assert first.failed == 0, first.text
    assert (first.changed > 0) == ROLES[role][1], first.text
    again = player.play(role)
    assert (again.failed, again.changed) == (0, 0), again.text


def test_what_the_roles_did(player: Player, bare: dict[str, set[str]]) -> None:
    bed = player.bed
    assert bed.ssh("worker1", "cat /proc/sys/net/core/somaxconn").strip() == "5000"
    assert bed.ssh("worker1", "stat -c %a /var/lib/mlsysops/hosts/worker1/otlp-headers").strip() == "600"
    assert bed.ssh("worker1", "cat /var/lib/mlsysops/hosts/worker1/far-edge.json").count('"edge"') == 1


@pytest.mark.parametrize("role", [role for role, (_, changes) in reversed(ROLES.items()) if changes])
def test_the_way_back_of_each(player: Player, bare: dict[str, set[str]], role: str) -> None:
    checked = player.play(role, "--check", remove=True, bare=True)
    assert checked.failed == 0, checked.text
    gone = player.play(role, remove=True, bare=True)
    assert gone.failed == 0, gone.text
    again = player.play(role, remove=True, bare=True)
    assert (again.failed, again.changed) == (0, 0), again.text


def test_the_hosts_are_as_they_were(player: Player, bare: dict[str, set[str]]) -> None:
    bed = player.bed
    for host in HOSTS:
        now = set(bed.ssh(host, INVENTORY_OF_A_HOST).splitlines())
        assert sorted(now ^ bare[host]) == [], host
        assert bed.ssh(host, "cat /proc/sys/net/core/somaxconn").strip() != "5000"
