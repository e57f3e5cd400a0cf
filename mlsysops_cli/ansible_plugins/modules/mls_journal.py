"""Ansible module: what a host's programs logged."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_journal
short_description: Return what a host's programs wrote to the journal
description:
  - Returns the last lines of every program, or all lines since an earlier look.
options:
  slice_name:
    description: Name of the slice.
    type: str
    required: true
  programs:
    description: Names of the programs.
    type: list
    elements: str
    required: true
  lines:
    description: Last lines of each program; -1 is all.
    type: int
    default: 100
  cursor:
    description: Where the earlier look ended; its lines are not returned again.
    type: str
    default: ''
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Look at the log
  mls_journal:
    slice_name: x
    programs: [worker1-kubelet]
"""

RETURN = r"""
ansible_facts:
  description: Under C(mls_journal), C(lines), each with time in microseconds since the epoch, program and text; and C(cursor).
  returned: success
  type: dict
"""

import json  # noqa: E402 - Ansible wants the documentation first
import subprocess  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_systemd import Systemd  # noqa: E402

_FIELDS = "MESSAGE,_SYSTEMD_UNIT,UNIT"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "slice_name": {"type": "str", "required": True},
            "programs": {"type": "list", "elements": "str", "required": True},
            "lines": {"type": "int", "default": 100},
            "cursor": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    units = {Systemd(parameters["slice_name"]).unit(name): name for name in parameters["programs"]}
    lines: list[list[Any]] = []
    cursor = parameters["cursor"]
    try:
        if cursor:
            found, cursor = _read(list(units), ["--after-cursor", cursor], cursor)
            lines = _lines(found, units)
        else:
            count = "all" if parameters["lines"] < 0 else str(parameters["lines"])
            for unit in units:
                found, _ = _read([unit], ["--lines", count], "")
                lines += _lines(found, units)
            # Where nothing was written since is where the next look begins.
            _, cursor = _read([], ["--lines", "1"], "")
    except (OSError, ValueError) as exc:
        module.fail_json(msg=f"journalctl: {exc}")
    module.exit_json(changed=False, ansible_facts={"mls_journal": {"lines": sorted(lines), "cursor": cursor}})


def _read(units: list[str], options: list[str], cursor: str) -> tuple[list[dict[str, Any]], str]:
    """Return entries of the journal, and where they end."""
    argv = ["journalctl", "--no-pager", "--quiet", "--output", "json", "--output-fields", _FIELDS, *options]
    for unit in units:
        argv += ["--unit", unit]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    if done.returncode != 0:
        raise OSError(done.stderr.decode("utf-8", "replace").strip()[-300:])
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    return entries, str(entries[-1]["__CURSOR"]) if entries else cursor


def _lines(entries: list[dict[str, Any]], units: dict[str, str]) -> list[list[Any]]:
    return [
        [int(entry["__REALTIME_TIMESTAMP"]), units.get(entry.get("UNIT") or entry.get("_SYSTEMD_UNIT", ""), "?"), text]
        for entry in entries
        if (text := _text(entry.get("MESSAGE")))
    ]


def _text(message: Any) -> str:
    """Return a message; the journal gives bytes that are no text as numbers (systemd.journal-fields(7), JSON)."""
    if isinstance(message, list):
        return bytes(message).decode("utf-8", "replace")
    return str(message or "")


if __name__ == "__main__":
    main()
