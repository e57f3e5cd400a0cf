"""Ansible module: what keeps a host from taking its part of a slice."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_preflight
short_description: Look for what keeps a host from taking its part of a slice
description:
  - Looks at Python, disks, memory, ports and proxies; on a host over SSH also at the release, processor, systemd, kernel,
    clock and name servers, and that we are root. Every look is bounded in time. Changes nothing and does not fail;
    M(mls_verdict) does, when all hosts have been looked at.
options:
  host:
    description: Name of the host in the inventory.
    type: str
    required: true
  ports:
    description: Ports, each with C(address), C(port) and C(what) it is for.
    type: list
    elements: dict
    default: []
  places:
    description: >-
      Directories that are written, each with C(path), C(bytes) and C(what); with C(programs) where programs are started
      from it.
    type: list
    elements: dict
    default: []
  memory:
    description: Bytes of memory that the host's part needs.
    type: int
    default: 0
  environment:
    description: Why the control node can make no environment for the host, C(found) and C(fix); empty where it can.
    type: dict
    default: {}
  engine:
    description: Which engine serves the control planes.
    type: str
    default: embedded
  supervisor:
    description: What keeps the processes that may hold the ports (C(kind), C(directory), C(slice)).
    type: dict
    required: true
  units:
    description: Further systemd units of ours whose processes may hold the ports.
    type: list
    elements: str
    default: []
  proxies:
    description: URLs of proxies that the host's part goes through.
    type: list
    elements: str
    default: []
  proxy_target:
    description: What a proxy is asked for, C(host:port); nothing where empty.
    type: str
    default: ''
  now:
    description: The time of the control node, seconds since 1970, against which the clock is checked; 0 checks nothing.
    type: float
    default: 0
  minimum_python:
    description: Lowest Python version that will do.
    type: str
    default: '3.11'
  timeout:
    description: Seconds after which a look that has not ended is a finding.
    type: float
    default: 15
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Look at the host
  mls_preflight:
    host: worker1
    ports:
      - {address: 127.20.0.12, port: 10250, what: kubelet}
    places:
      - {path: /var/lib/x, bytes: 200000000, what: state}
    supervisor: {directory: /var/lib/x/supervisor, slice: x}
"""

RETURN = r"""
findings:
  description: What was found, each with C(check), C(found), C(fix) and C(level), C(fault) or C(warning).
  returned: always
  type: list
identity:
  description: What must be unique in a slice; empty for a host that is the control node.
  returned: always
  type: dict
ansible_facts:
  description: Both, a line that sums the host up, and what an environment for it has to fit, under C(mls_preflight).
  returned: always
  type: dict
"""

import platform  # noqa: E402 - Ansible wants the documentation first
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils import mls_network, mls_ports, mls_storage, mls_system  # noqa: E402
from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_findings import bounded, fault  # noqa: E402
from ansible.module_utils.mls_hardware import machine, os_release  # noqa: E402


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "ports": {"type": "list", "elements": "dict", "default": []},
            "places": {"type": "list", "elements": "dict", "default": []},
            "memory": {"type": "int", "default": 0},
            "environment": {"type": "dict", "default": {}},
            "engine": {"type": "str", "default": "embedded"},
            "supervisor": {"type": "dict", "required": True},
            "units": {"type": "list", "elements": "str", "default": []},
            "proxies": {"type": "list", "elements": "str", "default": [], "no_log": True},
            "proxy_target": {"type": "str", "default": ""},
            "now": {"type": "float", "default": 0},
            "minimum_python": {"type": "str", "default": "3.11"},
            "timeout": {"type": "float", "default": 15},
        },
        supports_check_mode=True,
    )
    want = module.params
    checks: dict[str, Any] = {
        "python": lambda: mls_system.check_python(want["minimum_python"]),
        "disk": lambda: mls_storage.check_places(want["places"]),
        "memory": lambda: mls_system.check_memory(want["memory"]),
        "ports": lambda: _ports(want["ports"], want["supervisor"], want["units"]),
        "environment": lambda: [fault("environment", **want["environment"])] if want["environment"] else [],
        "proxy": lambda: [one for url in want["proxies"] for one in mls_network.check_proxy(url, want["proxy_target"])],
    }
    remote = want["supervisor"].get("kind") == "systemd"
    part = "control plane" if want["engine"] == "embedded" and _serves(want["ports"]) else ""
    if remote:
        checks.update(
            {
                "root": mls_system.check_root,
                "system": mls_system.check_release,
                "processor": lambda: mls_system.check_machine(part=part),
                "init": mls_system.check_init,
                "kernel": lambda: mls_system.check_kernel(want["engine"]),
                "clock": lambda: mls_system.check_clock(want["now"]),
                "DNS": lambda: mls_network.check_dns(mls_network.nameservers()),
            }
        )
    findings = bounded(checks, want["timeout"])
    identity = {"host": want["host"], **mls_system.identity()} if remote else {}
    module.exit_json(
        changed=False,
        findings=findings,
        identity=identity,
        ansible_facts={
            "mls_preflight": {"findings": findings, "summary": _summary(), "kind": _kind(), "identity": identity}
        },
    )


def _kind() -> dict[str, str]:
    """Return what an environment for this host has to fit."""
    libc = " ".join(platform.libc_ver()).strip()
    return {"python": platform.python_version(), "machine": machine(), "libc": libc}


def _serves(ports: list[dict[str, Any]]) -> bool:
    """Whether the host's part has an API to serve."""
    return any(port["what"] == "control plane" for port in ports)


def _summary() -> str:
    name = os_release(Path("/")).get("PRETTY_NAME", platform.system())
    return f"{name}, {machine()}, Python {platform.python_version()}"


def _ports(ports: list[dict[str, Any]], where: dict[str, Any], units: list[str]) -> list[Any]:
    # Imported here because they need a newer Python than this module does.
    if where.get("kind") == "systemd":
        from ansible.module_utils.mls_systemd import Systemd

        supervisor: Any = Systemd(where["slice"])
    else:
        from ansible.module_utils.mls_supervisor import Supervisor

        supervisor = Supervisor(where["directory"], where["slice"])
    own = {int(info["pid"]) for info in supervisor.processes()}
    found = []
    for port in ports:
        address, number = port["address"], int(port["port"])
        if not mls_ports.own(address):
            what = f"{address} is not an address of this host"
            found.append(fault("address", what, "set mls_address to one that is"))
            break
        inode = mls_ports.listener(address, number)
        if inode is None and not mls_ports.taken(address, number):
            continue
        holder = mls_ports.owner(inode) if inode is not None else None
        if holder and (holder[0] in own or mls_ports.unit(holder[0]) in units):
            continue
        # Pods of k3s are no part of its unit. A k3s that is not ours is refused where it would be claimed.
        if holder and units and mls_ports.pod(holder[0]):
            continue
        who = f"process {holder[0]} ({holder[1]})" if holder else "a process of another user"
        what = "port {} of {} ({}) is taken by {}".format(number, address, port["what"], who)
        found.append(fault("port", what, "stop it", "conflict"))
    return found


if __name__ == "__main__":
    main()
