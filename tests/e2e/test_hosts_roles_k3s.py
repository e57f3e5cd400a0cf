"""The roles of the engine k3s on real hosts, each in its own play of `k3s.yml` and `k3s_remove.yml`, with plain ansible-playbook.

In check mode on bare hosts, twice, and their way back. The programs `k3s` and `karmadactl` are stand-ins (see `standins`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hosts import ON_HOSTS, Bed, boot
from plays import ROOT, Played, Plays

sys.path.insert(0, str(Path(__file__).parent / "standins"))

from release_files import VERSION, publish
from release_server import serving

pytestmark = [pytest.mark.timeout(1200), *ON_HOSTS]  # one fixture plays everything three times
HOSTS = ("mgmt", "server", "worker1")
THERE, BACK = ROOT / "playbooks/k3s.yml", ROOT / "playbooks/k3s_remove.yml"
#: Plays and the roles that are theirs.
PLAYS = {
    "Files of k3s and Karmada": "artifacts",
    "First servers of k3s": "k3s_server",
    "Agents of k3s": "k3s_agent",
    "Karmada": "karmada",
    "Members of Karmada": "karmada",
}
WAYS_BACK = {
    "Remove Karmada": "karmada",
    "Remove agents of k3s": "k3s_agent",
    "Remove servers of k3s": "k3s_server",
    "Remove files of k3s and Karmada": "artifacts",
}


class Player:
    """The hosts, and the plays on them."""

    def __init__(self, bed: Bed, mirror: str) -> None:
        self.bed = bed
        document = yaml.safe_load(Path(bed.without("worker2", far_edge=False)).read_text(encoding="utf-8"))
        document["all"]["vars"] |= {
            "mls_slice": "k3s",
            "mls_engine": "k3s",
            "mls_k3s_version": VERSION,
            "mls_artifacts_mirror": mirror,
        }
        inventory = bed.person.work / "k3s.yml"
        inventory.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        self.plays = Plays(bed.person, inventory)

    def state(self, host: str) -> set[str]:
        """What a host has, but for what is not these roles' to take away: the slice's directory, and Ansible's."""
        return {
            line for line in self.bed.contents(host) if "/var/lib/mlsysops" not in line and "/root/.ansible" not in line
        }


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Player]:
    for bed in boot(tmp_path_factory.mktemp("home")):
        gateway = bed.address["mgmt"].rpartition(".")[0] + ".1"
        with serving(tmp_path_factory.mktemp("released"), gateway) as server:
            publish(server)
            yield Player(bed, server.url)


@pytest.fixture(scope="module")
def bare(player: Player) -> dict[str, set[str]]:
    return {host: player.state(host) for host in HOSTS}


@pytest.fixture(scope="module")
def runs(player: Player, bare: dict[str, set[str]]) -> list[dict[str, Played]]:
    """In check mode on bare hosts, really, and again."""
    checked = player.plays.run(THERE, "--check", "--diff")
    for host in HOSTS:
        assert sorted(player.state(host) ^ bare[host]) == [], host
    return [checked, player.plays.run(THERE), player.plays.run(THERE)]


@pytest.fixture(scope="module")
def ways_back(player: Player, runs: object) -> list[dict[str, Played]]:
    """In check mode, really, and again."""
    return [player.plays.run(BACK, *options) for options in (["--check"], [], [])]


@pytest.mark.parametrize("play", PLAYS)
def test_check_mode_on_bare_hosts(runs: list[dict[str, Played]], play: str) -> None:
    assert runs[0][play].failed == 0, runs[0][play].text
    assert runs[0][play].changed > 0, runs[0][play].text


@pytest.mark.parametrize("play", PLAYS)
def test_twice(runs: list[dict[str, Played]], play: str) -> None:
    _, first, second = runs
    assert first[play].failed == 0, first[play].text
    assert first[play].changed > 0, first[play].text
    assert (second[play].failed, second[play].changed) == (0, 0), second[play].text


@pytest.mark.parametrize("play", WAYS_BACK)
def test_the_way_back(ways_back: list[dict[str, Played]], play: str) -> None:
    checked, gone, again = (way[play] for way in ways_back)
    assert (checked.failed, gone.failed) == (0, 0), checked.text + gone.text
    assert checked.changed > 0, checked.text
    assert gone.changed > 0, gone.text
    assert (again.failed, again.changed) == (0, 0), again.text


def test_the_hosts_are_as_they_were(player: Player, bare: dict[str, set[str]], ways_back: object) -> None:
    for host in HOSTS:
        assert sorted(player.state(host) ^ bare[host]) == [], host
