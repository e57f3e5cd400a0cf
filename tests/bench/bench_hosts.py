"""A slice on systemd hosts over SSH: how long from bare, again, one node more; what it costs over plain Ansible."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from figure import Figure

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "e2e"))

from hosts import Bed, boot  # noqa: E402 - found beside the end-to-end tests

from mlsysops_cli.runner.ssh import connections, ssh_settings  # noqa: E402

STATE = ".local/share/mlsysops/slices/hosts"
NODES = ("mgmt", "server", "worker1", "worker2")
#: Runs of each kind that are compared, in turns, so that both meet the same noise; the best counts.
ROUNDS = 4


def figures() -> Iterator[Figure]:
    """From five bare hosts to a slice and back."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            with closing(boot(Path(directory))) as booting:
                yield from _measure(next(booting))
        except pytest.skip.Exception as reason:
            yield Figure("hosts", None, "s", 120, note=str(reason))


def _measure(bed: Bed) -> Iterator[Figure]:
    whole, small = _inventory(bed), _inventory(bed, without="worker2")
    connections = _connections(bed)
    # As on a new control node: what hosts run is fetched and built, too.
    kept = bed.person.environment["XDG_CACHE_HOME"]
    with tempfile.TemporaryDirectory(prefix="mls-cache-") as empty:
        bed.person.environment["XDG_CACHE_HOME"] = empty
        first = _deploy(bed, whole)
        bed.person.environment["XDG_CACHE_HOME"] = kept
    yield Figure("hosts_first", first, "s", 120, note="4 hosts, on a new control node, until every agent is ready")
    yield Figure("hosts_ssh_connections", _connections(bed) - connections, "", 12, note="of the first run, 4 hosts")
    yield Figure("hosts_tasks", _tasks(bed), "", 60, note="Ansible tasks of the first run")
    _deploy(bed, whole)  # from here on with what is kept on this machine
    ours, plain = _unchanged(bed, whole)
    yield Figure("hosts_second", ours, "s", 30, note=f"nothing changed; plain ansible-playbook: {plain:.1f} s")
    yield Figure("hosts_second_ratio", ours / first, "", 0.25)
    yield Figure("hosts_second_over_ansible", ours / plain, "", 1.05)
    bare, plain = _from_bare(bed, whole)
    yield Figure(
        "hosts_bare", bare, "s", 120, note="from bare hosts, with what the control node keeps of the first run"
    )
    yield Figure("hosts_over_ansible", bare / plain, "", 1.05, note=f"from bare; plain ansible-playbook: {plain:.1f} s")
    bed.person.run(f"mls framework remove-node worker2 -q -i {whole}", timeout=900)
    _deploy(bed, small)
    added = bed.person.run(f"mls framework add-node worker2 -q -i {whole}", timeout=900).seconds
    yield Figure("hosts_add_node", added, "s", 30, note="drained, removed, added again")
    yield Figure("hosts_add_node_ratio", added / first, "", 0.4, note=f"{added / bare:.2f} of hosts_bare")
    yield Figure("hosts_destroy", _destroy(bed), "s", 30)


def _deploy(bed: Bed, inventory: str) -> float:
    return float(bed.person.run(f"mls framework deploy-all -q -i {inventory}", timeout=900).seconds)


def _destroy(bed: Bed) -> float:
    return float(bed.person.run("mls framework destroy-all -q --yes", timeout=900).seconds)


def _unchanged(bed: Bed, inventory: str) -> tuple[float, float]:
    """Return the seconds of a run that changes nothing, with `mls` and with plain ansible-playbook."""
    ours, plain = [], []
    for _ in range(ROUNDS):
        ours.append(_deploy(bed, inventory))
        plain.append(_plain(bed, inventory))
    return min(ours), min(plain)


def _from_bare(bed: Bed, inventory: str) -> tuple[float, float]:
    """Return the seconds from bare hosts to a slice, with `mls` and with plain ansible-playbook and the same plan."""
    state = Path(bed.person.home, STATE)
    ours, plain = [], []
    for _ in range(ROUNDS - 1):
        with tempfile.TemporaryDirectory() as directory:
            copy = Path(directory, "state")
            shutil.copytree(state, copy)
            _destroy(bed)
            shutil.copytree(copy, state, dirs_exist_ok=True)
        plain.append(_plain(bed, inventory, facts=True))
        _destroy(bed)
        ours.append(_deploy(bed, inventory))
    return min(ours), min(plain)


def _inventory(bed: Bed, *, without: str = "") -> str:
    document = yaml.safe_load(Path(bed.inventory).read_text(encoding="utf-8"))
    del document["all"]["children"]["far_edge"]
    document["all"]["children"]["cluster1"]["children"]["worker_nodes"]["hosts"].pop(without, None)
    path = bed.person.work / f"without-{without or 'none'}.yml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return str(path)


def _connections(bed: Bed) -> int:
    """SSH connections that the hosts have accepted, but for the one that asks."""
    asked = "journalctl --no-pager --quiet --identifier sshd | grep -c 'Accepted publickey' || true"
    return sum(int(bed.ssh(host, asked)) for host in NODES)


def _tasks(bed: Bed) -> int:
    """Tasks that the newest run of the playbook started."""
    logs = sorted(Path(bed.person.home, STATE, "logs/runs").glob("site-*.log"))
    return len(re.findall(r"^(?:TASK|RUNNING HANDLER) \[", logs[-1].read_text(encoding="utf-8"), re.MULTILINE))


def _plain(bed: Bed, inventory: str, *, facts: bool = False) -> float:
    """Seconds that ansible-playbook takes for the same, with the settings that `mls` gives it.

    Args:
        facts: Ask the hosts first what they are, as of hosts of which nothing is known.
    """
    state = Path(bed.person.home, STATE)
    plugins = REPOSITORY / "mlsysops_cli/ansible_plugins"
    with connections() as sockets:
        environment = {
            **bed.person.environment,
            **ssh_settings(known_hosts=state / "known_hosts", accept=False, sockets=sockets),
            "ANSIBLE_ROLES_PATH": str(REPOSITORY / "roles"),
            "ANSIBLE_LIBRARY": str(plugins / "modules"),
            "ANSIBLE_MODULE_UTILS": str(plugins / "module_utils"),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_FORKS": "10",
            "ANSIBLE_REMOTE_TEMP": "/var/tmp/.mls-hosts",
        }
        argv = ["ansible-playbook", "-i", inventory, "-i", str(state / "hosts.json"), "-e", f"@{state / 'plan.json'}"]
        start = time.perf_counter()
        for playbook in ("facts.yml", "site.yml") if facts else ("site.yml",):
            subprocess.run(
                [str(Path(sys.executable).parent / argv[0]), *argv[1:], str(REPOSITORY / "playbooks" / playbook)],
                env=environment, cwd=bed.person.work, stdin=subprocess.DEVNULL, capture_output=True, timeout=900, check=True,
            )  # fmt: skip
        return time.perf_counter() - start
