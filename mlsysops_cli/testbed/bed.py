"""The whole testbed: up, down, how it is, and its faults."""

from __future__ import annotations

import contextlib
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import yaml
from mlsysops_core.errors import NotFound, UsageError

from mlsysops_cli.files import write_private
from mlsysops_cli.slice.state import locked
from mlsysops_cli.testbed import cgroups, image, machine, network
from mlsysops_cli.testbed.ability import check_network, check_rights
from mlsysops_cli.testbed.model import HOSTS
from mlsysops_cli.testbed.tools import require, require_root, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlsysops_cli.testbed.model import Testbed

__all__ = ["FAULTS", "down", "fault", "inventory", "status", "up"]

#: Faults and the number of hosts each concerns.
FAULTS = {"crash": 1, "stop": 1, "start": 1, "cut": 1, "heal": 1, "partition": 2, "mend": 0}


def up(bed: Testbed, note: Callable[[str], None], *, install: bool = False, isolated: bool = False) -> None:
    """Bring every host up, and write the inventory.

    Args:
        bed: The testbed.
        note: Told what goes on.
        install: Install Debian packages that are missing.
        isolated: The hosts reach each other and this machine only.

    Raises:
        Refused: This machine does not let a testbed be made.
        Unreachable: The packages that it is made of cannot be had.
    """
    require_root()
    check_rights(bed.directory)  # before packages are installed in vain
    require(install=install)
    check_network()
    with locked(bed.directory, "the testbed"):
        started = time.monotonic()
        write_private(bed.directory / "subnet", f"{bed.subnet}\n")
        if not bed.key.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "mls-testbed", "-f", str(bed.key))
        if not image.tarball(bed).is_file():
            note("building the hosts' image; once, about a minute")
        image.ensure_base(bed)
        network.network_up(bed, isolated=isolated)
        bed.isolated.touch() if isolated else bed.isolated.unlink(missing_ok=True)
        for host in HOSTS:
            machine.start(bed, host)
        with ThreadPoolExecutor(len(HOSTS)) as pool:
            for waiting in [pool.submit(machine.wait_for_ssh, bed, host) for host in HOSTS]:
                waiting.result()
        _write_known_hosts(bed)
        document = yaml.safe_dump(inventory(bed), sort_keys=False, width=200)
        write_private(bed.inventory, "# Written by `mls testbed up`.\n" + document)
        note(f"{len(HOSTS)} hosts are up, {time.monotonic() - started:.1f} s")


def down(bed: Testbed, *, purge: bool = False) -> bool:
    """Remove the testbed; return whether there was anything.

    Args:
        bed: The testbed.
        purge: Also remove the kept image.
    """
    there = bed.directory.is_dir()
    if there:
        require(install=False)
        with locked(bed.directory, "the testbed"):
            if network.made_here(bed):
                with ThreadPoolExecutor(len(HOSTS)) as pool:
                    for stopping in [pool.submit(machine.stop, bed, host) for host in HOSTS]:
                        stopping.result()
                for host in HOSTS:
                    machine.remove(bed, host)
                network.network_down(bed)
                cgroups.remove(bed.group)
            run("rm", "-rf", "--one-file-system", str(bed.directory))
        with contextlib.suppress(OSError):  # slices may have their state beside it
            bed.directory.parent.rmdir()
    if purge and bed.cache.is_dir():
        shutil.rmtree(bed.cache)
        there = True
    return there


def status(bed: Testbed) -> list[dict[str, Any]]:
    """Return how every host is."""
    return [
        {
            "name": host.name,
            "address": bed.address(host),
            "power": "on" if machine.running(bed, host) else "off",
            "link": "up" if network.carrier(host) else "down",
            "memory": host.memory,
            "cpu": host.cpu,
            "ssh": f"ssh -i {bed.key} -o UserKnownHostsFile={bed.known_hosts} root@{bed.address(host)}",
        }
        for host in (HOSTS if bed.directory.is_dir() else ())
    ]


def fault(bed: Testbed, action: str, names: list[str]) -> str:
    """Do something to hosts, and return what was done.

    Raises:
        UsageError: No such action, or another number of hosts.
        NotFound: There is no testbed, or no such host.
    """
    if action not in FAULTS:
        raise UsageError(f"no such action {action!r}", hint=f"one of: {', '.join(FAULTS)}")
    if len(names) != FAULTS[action]:
        raise UsageError(f"{action} concerns {FAULTS[action]} hosts, not {len(names)}")
    if not bed.directory.is_dir():
        raise NotFound("there is no testbed", hint="run `mls testbed up`")
    hosts = [bed.machine(name) for name in names]
    require(install=False)
    started = time.monotonic()
    with locked(bed.directory, "the testbed"):
        if action == "partition":
            network.partition(bed, hosts[0], hosts[1])
        elif action == "mend":
            network.mend(bed)
        elif action in ("cut", "heal"):
            network.set_link(hosts[0], up=action == "heal")
        elif action == "start":
            machine.start(bed, hosts[0])
            machine.wait_for_ssh(bed, hosts[0])
        elif action == "stop":
            machine.stop(bed, hosts[0])
        else:
            machine.crash(bed, hosts[0])
    return f"{action} {' '.join(names)}: done, {time.monotonic() - started:.1f} s".replace(" :", ":")


def inventory(bed: Testbed) -> dict[str, Any]:
    """Return the inventory of the testbed: a slice on the embedded engine, with one far-edge device."""
    at = {host.name: {"ansible_host": bed.address(host)} for host in HOSTS}
    cluster = {"k3s_cluster_name": "cluster1"}
    return {
        "all": {
            "vars": {
                "ansible_user": "root",
                "ansible_ssh_private_key_file": str(bed.key),
                "ansible_python_interpreter": "/usr/bin/python3",
                # The hosts were made here, so their keys are known and checked.
                "ansible_ssh_common_args": f"-o GlobalKnownHostsFile={bed.known_hosts} -o IdentitiesOnly=yes",
                "mls_slice": "hosts",
                "mls_engine": "embedded",
            },
            "children": {
                "management_cluster": {"hosts": {"mgmt": at["mgmt"] | {"k3s_cluster_name": "continuum"}}},
                "cluster1": {
                    "children": {
                        "master_nodes": {"hosts": {"server": at["server"] | cluster}},
                        "worker_nodes": {"hosts": {name: at[name] | cluster for name in ("worker1", "worker2")}},
                    }
                },
                "far_edge": {"hosts": {"edge": at["edge"] | {"mls_gateway": "worker1"}}},
            },
        }
    }


def _write_known_hosts(bed: Testbed) -> None:
    lines = []
    for host in HOSTS:
        key = (bed.root(host) / "etc/ssh/ssh_host_ed25519_key.pub").read_text(encoding="ascii").split()
        lines.append(f"{bed.address(host)} {key[0]} {key[1]}\n")
    write_private(bed.known_hosts, "".join(lines))
