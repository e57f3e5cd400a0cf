"""Ansible module: end the containers that an embedded kubelet left running."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_pods
short_description: End the containers that an embedded kubelet left running
description:
  - Containers outlive their kubelet. This finds their supervising processes by the records in the kubelet's data and
    ends them; each is identified by process id and start time, so that nobody else's process is touched.
options:
  data_dir:
    description: The kubelet's data.
    type: path
    required: true
  grace:
    description: Seconds between asking and killing.
    type: int
    default: 5
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: End containers
  mls_pods:
    data_dir: /var/lib/x/kubelet
"""

RETURN = r"""
ended:
  description: Directories of the containers that were ended.
  returned: always
  type: list
"""

import json  # noqa: E402 - Ansible wants the documentation first
import os  # noqa: E402
import signal  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"data_dir": {"type": "path", "required": True}, "grace": {"type": "int", "default": 5}},
        supports_check_mode=True,
    )
    shims = _shims(Path(module.params["data_dir"]))
    if not module.check_mode:
        left = dict(shims)
        steps = ((signal.SIGTERM, module.params["grace"]), (signal.SIGUSR1, 5), (signal.SIGKILL, 5))
        for number, seconds in steps:  # SIGUSR1 asks a shim to kill all that its container started
            left = _signal(left, number, seconds)
        if left:
            module.fail_json(msg="containers do not end: {}".format(", ".join(sorted(left))))
    module.exit_json(changed=bool(shims), ended=sorted(shims))


def _shims(data: Path) -> dict[str, tuple[int, int]]:
    """Return process id and start time of every shim that is alive, by the container's directory."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    found = {}
    for path in data.rglob("state.json") if data.is_dir() else []:
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            identity = (int(state["shim"]), int(state["shim_start"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if state.get("boot_id") == boot and _alive(identity):
            found[str(path.parent)] = identity
    return found


def _alive(identity: tuple[int, int]) -> bool:
    try:
        fields = (
            Path(f"/proc/{identity[0]}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        )
    except OSError:
        return False
    return fields[0] != "Z" and int(fields[19]) == identity[1]


def _signal(shims: dict[str, tuple[int, int]], number: int, seconds: float) -> dict[str, tuple[int, int]]:
    """Send a signal to all and wait; return those that are still there."""
    for identity in shims.values():
        if _alive(identity):
            try:
                os.kill(identity[0], number)
            except ProcessLookupError:
                continue
    deadline = time.monotonic() + seconds
    left = {name: one for name, one in shims.items() if _alive(one)}
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = {name: one for name, one in left.items() if _alive(one)}
    return left


if __name__ == "__main__":
    main()
