"""A slice on systemd hosts over SSH: how long from bare, again, one node more; what it costs over plain Ansible."""

from __future__ import annotations

import os
import re
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

from mlsysops_cli.runner.ssh import ssh_settings  # noqa: E402

STATE = ".local/share/mlsysops/slices/hosts"
NODES = ("mgmt", "server", "worker1", "worker2")
#: Runs of each kind that are compared, in turns, so that both meet the same noise; the best counts.
ROUNDS = 3


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
    # The environment of hosts is built once for all slices of a machine: not in the figure.
    bed.person.run(f"mls framework deploy-all -q --check -i {whole}", timeout=900)
    connections = _connections(bed)
    first = bed.person.run(f"mls framework deploy-all -q -i {whole}", timeout=900).seconds
    yield Figure("hosts_first", first, "s", 120, note="4 hosts, from bare until every agent is ready")
    yield Figure("hosts_ssh_connections", _connections(bed) - connections, "", 12, note="of the first run, 4 hosts")
    yield Figure("hosts_tasks", _tasks(bed), "", 60, note="Ansible tasks of the first run")
    again, plain = [], []
    for _ in range(ROUNDS):
        again.append(bed.person.run(f"mls framework deploy-all -q -i {whole}", timeout=900).seconds)
        plain.append(_plain(bed, whole))
    yield Figure("hosts_second", min(again), "s", 30, note="nothing changed")
    yield Figure("hosts_second_ratio", min(again) / first, "", 0.25)
    yield Figure(
        "hosts_over_ansible", min(again) / min(plain), "", 1.05, note=f"plain ansible-playbook: {min(plain):.1f} s"
    )
    bed.person.run(f"mls framework remove-node worker2 -q -i {whole}", timeout=900)
    bed.person.run(f"mls framework deploy-all -q -i {small}", timeout=900)
    added = bed.person.run(f"mls framework add-node worker2 -q -i {whole}", timeout=900).seconds
    yield Figure("hosts_add_node_ratio", added / first, "", 0.4, note=f"{added:.1f} s")
    gone = bed.person.run("mls framework destroy-all -q --yes", timeout=900).seconds
    yield Figure("hosts_destroy", gone, "s", 30)


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


def _plain(bed: Bed, inventory: str) -> float:
    """Seconds that ansible-playbook takes for the same, with the settings that `mls` gives it."""
    state = Path(bed.person.home, STATE)
    plugins = REPOSITORY / "mlsysops_cli/ansible_plugins"
    with tempfile.TemporaryDirectory(prefix="mls-") as sockets:
        environment = {
            **bed.person.environment,
            **ssh_settings(known_hosts=state / "known_hosts", accept=False, sockets=Path(sockets)),
            "ANSIBLE_ROLES_PATH": str(REPOSITORY / "roles"),
            "ANSIBLE_LIBRARY": str(plugins / "modules"),
            "ANSIBLE_MODULE_UTILS": str(plugins / "module_utils"),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_FORKS": "10",
            "ANSIBLE_REMOTE_TEMP": "/var/tmp/.mls-hosts",
        }
        argv = ["ansible-playbook", "-i", inventory, "-i", str(state / "hosts.json"), "-e", f"@{state / 'plan.json'}"]
        start = time.perf_counter()
        subprocess.run(
            [str(Path(sys.executable).parent / argv[0]), *argv[1:], str(REPOSITORY / "playbooks/site.yml")],
            env=environment, cwd=bed.person.work, stdin=subprocess.DEVNULL, capture_output=True, timeout=900, check=True,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        for socket in os.listdir(sockets):  # noqa: PTH208 - names are enough
            argv = ["ssh", "-o", f"ControlPath={sockets}/{socket}", "-O", "exit", "none"]
            subprocess.run(argv, capture_output=True, timeout=10, check=False)
    return seconds
