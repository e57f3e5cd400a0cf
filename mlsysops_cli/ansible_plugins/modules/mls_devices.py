"""Ansible module: the far-edge devices behind a gateway host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_devices
short_description: Tell a gateway which far-edge devices are behind it, and see whether they answer
description:
  - Writes the devices of a gateway into a file, for what speaks to them there, and asks each whether it is there, by an
    ICMP echo and by a CoAP ping (RFC 7252, section 4.3), all at once and bounded in time.
options:
  path:
    description: The file.
    type: path
    required: true
  devices:
    description: Devices, each with C(name) and C(address).
    type: list
    elements: dict
    default: []
  timeout:
    description: Seconds that a device has to answer.
    type: float
    default: 2
  state:
    description: Whether the file is there.
    type: str
    choices: [present, absent]
    default: present
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Tell the gateway which devices are behind it
  mls_devices:
    path: /var/lib/x/far-edge.json
    devices:
      - {name: sensor1, address: 10.77.0.20}
"""

RETURN = r"""
reached:
  description: Names of the devices that answered.
  returned: with state=present
  type: list
"""

import json  # noqa: E402 - Ansible wants the documentation first
import secrets  # noqa: E402
import shutil  # noqa: E402
import socket  # noqa: E402
import subprocess  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_files import write_file  # noqa: E402

COAP_PORT = 5683
_AT_ONCE = 32


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "devices": {"type": "list", "elements": "dict", "default": []},
            "timeout": {"type": "float", "default": 2},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    path, devices = Path(module.params["path"]), module.params["devices"]
    if module.params["state"] == "absent":
        there = path.is_file()
        if there and not module.check_mode:
            path.unlink()
        module.exit_json(changed=there)
    text = json.dumps({"devices": devices}, indent=1, sort_keys=True) + "\n"
    if module.check_mode:
        changed = not path.is_file() or path.read_text(encoding="utf-8") != text
    else:
        changed = write_file(path, text)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = list(pool.map(lambda device: answers_at(device["address"], module.params["timeout"]), devices))
    reached = [device["name"] for device, there in zip(devices, answers) if there]  # noqa: B905 - Python 3.8 has no strict
    module.exit_json(changed=changed, reached=reached)


def answers_at(address: str, timeout: float) -> bool:
    """Return whether anything answers at an address.

    Args:
        address: IP address or name.
        timeout: Seconds for each of the two ways.
    """
    return _coap(address, timeout) or _echo(address, timeout)


def _echo(address: str, timeout: float) -> bool:
    ping = shutil.which("ping")
    if ping is None:
        return False
    argv = [ping, "-c", "1", "-W", str(max(1, round(timeout))), "--", address]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=timeout + 3, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _coap(address: str, timeout: float) -> bool:
    """Send an empty confirmable message: whatever speaks CoAP answers with a reset of the same number."""
    number = secrets.token_bytes(2)
    try:
        found: list[Any] = socket.getaddrinfo(address, COAP_PORT, type=socket.SOCK_DGRAM)
        with socket.socket(found[0][0], socket.SOCK_DGRAM) as probe:
            probe.settimeout(timeout)
            probe.connect(found[0][4])
            probe.send(b"\x40\x00" + number)  # version 1, type CON, no token, code 0.00
            return probe.recv(16)[2:4] == number
    except ConnectionRefusedError:  # an ICMP error from the address: something is there, though it speaks no CoAP
        return True
    except OSError:
        return False


if __name__ == "__main__":
    main()
