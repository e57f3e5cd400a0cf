"""Ansible module: whether a host can take its part of a slice."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_preflight
short_description: Check that a host can take its part of a slice
description:
  - Checks the Python version, free disk space and that the ports of the host's part are free or held by the slice
    itself; on a host over SSH also that systemd runs it, that we are root, and its clock. Reports everything that is
    wrong at once and changes nothing.
options:
  ports:
    description: Ports, each with C(address), C(port) and C(what) it is for.
    type: list
    elements: dict
    default: []
  directory:
    description: Where the host's part will keep its files.
    type: path
    required: true
  supervisor:
    description: What keeps the processes that may hold the ports (C(kind), C(directory), C(slice)).
    type: dict
    required: true
  now:
    description: The time of the control node, seconds since 1970, against which the clock is checked; 0 checks nothing.
    type: float
    default: 0
  free_bytes:
    description: Bytes that must be free there.
    type: int
    default: 0
  minimum_python:
    description: Lowest Python version that will do.
    type: str
    default: '3.11'
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Check the host
  mls_preflight:
    ports:
      - {address: 127.20.0.12, port: 10250, what: kubelet}
    directory: /var/lib/x
    supervisor: {directory: /var/lib/x/supervisor, slice: x}
"""

RETURN = r"""
faults:
  description: What is wrong, a line each.
  returned: always
  type: list
"""

import os  # noqa: E402 - Ansible wants the documentation first
import shutil  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils import mls_ports  # noqa: E402
from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_supervisor import Supervisor  # noqa: E402
from ansible.module_utils.mls_systemd import Systemd  # noqa: E402

CLOCK_TOLERANCE = 60.0


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "ports": {"type": "list", "elements": "dict", "default": []},
            "directory": {"type": "path", "required": True},
            "supervisor": {"type": "dict", "required": True},
            "now": {"type": "float", "default": 0},
            "free_bytes": {"type": "int", "default": 0},
            "minimum_python": {"type": "str", "default": "3.11"},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    faults = _python(parameters["minimum_python"]) + _disk(parameters["directory"], parameters["free_bytes"])
    where = parameters["supervisor"]
    supervisor: Any = Supervisor(where["directory"], where["slice"])
    if where.get("kind") == "systemd":
        supervisor = Systemd(where["slice"])
        faults += _system() + _clock(parameters["now"])
    busy = _ports(parameters["ports"], supervisor)
    if busy or faults:
        module.fail_json(
            msg="; ".join(busy + faults),
            faults=busy + faults,
            mls_error="conflict" if busy else "invalid-input",
        )
    module.exit_json(changed=False, faults=[])


def _python(minimum: str) -> list[str]:
    if sys.version_info[:2] >= tuple(int(part) for part in minimum.split(".")[:2]):
        return []
    return [f"Python {sys.version.split()[0]} is too old: install {minimum} or newer"]


def _system() -> list[str]:
    faults = []
    if os.geteuid() != 0:
        faults.append("not root: set ansible_become, or log in as root")
    if Path("/proc/1/comm").read_text(encoding="ascii").strip() != "systemd":
        faults.append("systemd does not run this host: the embedded engine over SSH needs it")
    return faults


def _clock(now: float) -> list[str]:
    """Certificates made on one host are checked on another."""
    skew = time.time() - now
    if not now or abs(skew) <= CLOCK_TOLERANCE:
        return []
    return ["the clock is {:.0f} s {}: set it, and keep it with NTP".format(abs(skew), "fast" if skew > 0 else "slow")]


def _disk(directory: str, wanted: int) -> list[str]:
    place = Path(directory)
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        return [f"{place} cannot be written: run as a user who may, or free the file system"]
    free = shutil.disk_usage(place).free
    if free >= wanted:
        return []
    return [f"{free // 10**6} MB free in {place}, {wanted // 10**6} MB are needed: make room"]


def _ports(ports: list[dict[str, Any]], supervisor: Any) -> list[str]:
    own = {int(info["pid"]) for info in supervisor.processes()}
    faults = []
    for port in ports:
        address, number = port["address"], int(port["port"])
        if not mls_ports.own(address):
            faults.append(f"{address} is not an address of this host: set mls_address to one that is")
            break
        inode = mls_ports.listener(address, number)
        if inode is None and not mls_ports.taken(address, number):
            continue
        holder = mls_ports.owner(inode) if inode is not None else None
        if holder and holder[0] in own:
            continue
        who = f"process {holder[0]} ({holder[1]})" if holder else "a process of another user"
        faults.append(f"port {number} of {address} ({port['what']}) is taken by {who}: stop it")
    return faults


if __name__ == "__main__":
    main()
