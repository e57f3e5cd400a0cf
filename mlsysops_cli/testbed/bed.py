"""The whole testbed, whatever makes its hosts: up, down, how it is, and its faults."""

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
from mlsysops_cli.testbed.choice import remembered
from mlsysops_cli.testbed.inventory import inventory, known_hosts, ssh_command
from mlsysops_cli.testbed.model import HOSTS
from mlsysops_cli.testbed.tools import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlsysops_cli.testbed.backend import Backend
    from mlsysops_cli.testbed.model import Testbed

__all__ = ["FAULTS", "down", "fault", "status", "up"]

#: Faults and the number of hosts each concerns.
FAULTS = {"crash": 1, "stop": 1, "start": 1, "cut": 1, "heal": 1, "partition": 2, "mend": 0}


def up(bed: Testbed, backend: Backend, note: Callable[[str], None], *, install: bool = False) -> None:
    """Bring every host up, and write the inventory.

    Args:
        bed: The testbed.
        backend: What makes the hosts.
        note: Told what goes on.
        install: Install on this machine what is missing.

    Raises:
        Refused: Hosts may not be made there.
        Unreachable: What makes them, or what they are made of, cannot be had; or they cannot be reached.
    """
    backend.check(install=install)
    with locked(bed.directory, "the testbed"):
        started = time.monotonic()
        backend.remember()
        if not bed.key.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "mls-testbed", "-f", str(bed.key))
        backend.make(note)
        addresses = {name: condition.address for name, condition in backend.conditions().items()}
        keys = {host.name: backend.host_key(host) for host in HOSTS}
        write_private(bed.known_hosts, known_hosts(addresses, keys))
        with ThreadPoolExecutor(len(HOSTS)) as pool:
            for waiting in [pool.submit(backend.wait_for_ssh, host) for host in HOSTS]:
                waiting.result()
        document = yaml.safe_dump(inventory(bed, addresses, jump=backend.jump), sort_keys=False, width=200)
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
        backend = remembered(bed)
        backend.require()
        with locked(bed.directory, "the testbed"):
            backend.remove()
            run("rm", "-rf", "--one-file-system", str(bed.directory))
        with contextlib.suppress(OSError):  # slices may have their state beside it
            bed.directory.parent.rmdir()
    if purge and bed.cache.is_dir():
        shutil.rmtree(bed.cache)
        there = True
    return there


def status(bed: Testbed) -> list[dict[str, Any]]:
    """Return how every host is."""
    if not bed.directory.is_dir():
        return []
    backend = remembered(bed)
    conditions = backend.conditions()
    return [
        {
            "name": host.name,
            "address": conditions[host.name].address,
            "power": "on" if conditions[host.name].on else "off",
            "link": "up" if conditions[host.name].plugged else "down",
            "memory": host.memory,
            "cpu": host.cpu,
            "ssh": ssh_command(bed, conditions[host.name].address, jump=backend.jump),
        }
        for host in HOSTS
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
    backend = remembered(bed)
    backend.require()
    started = time.monotonic()
    with locked(bed.directory, "the testbed"):
        if action == "partition":
            backend.partition(hosts[0], hosts[1])
        elif action == "mend":
            backend.mend()
        elif action in ("cut", "heal"):
            backend.set_link(hosts[0], up=action == "heal")
        elif action == "start":
            backend.start(hosts[0])
        elif action == "stop":
            backend.stop(hosts[0])
        else:
            backend.crash(hosts[0])
    return f"{action} {' '.join(names)}: done, {time.monotonic() - started:.1f} s".replace(" :", ":")
