"""Ansible module: the release that a host runs, kept until the next one has proved itself."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_release
short_description: Remember what a host runs, and go back to it
description:
  - C(state=remembered) writes down which environment the host's programs run from, with their unit and config files.
  - C(state=restored) puts all of it back and starts the programs again, so that a host whose upgrade failed runs what it ran
    before. C(state=settled) forgets what was written down. An upgrade that was interrupted keeps the first thing it remembered.
  - A host whose environment is somebody else's (C(home) is empty) has nothing to go back to.
options:
  home:
    description: Directory of the environment.
    type: str
    default: ''
  programs:
    description: The host's programs as M(mls_process) takes them.
    type: list
    elements: dict
    default: []
  slice_name:
    description: Name of the slice.
    type: str
    required: true
  timeout:
    description: Seconds until the programs must run again.
    type: int
    default: 60
  state:
    description: What to do.
    type: str
    choices: [remembered, restored, settled]
    required: true
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Remember what runs
  mls_release:
    home: /opt/mlsysops/x
    programs: "{{ programs }}"
    slice_name: x
    state: remembered
"""

RETURN = r"""
kept:
  description: Whether there is a release to go back to, or it runs again.
  returned: success
  type: bool
"""

import json  # noqa: E402 - Ansible wants the documentation first
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_files import write_file  # noqa: E402
from ansible.module_utils.mls_supervisor import SupervisorError  # noqa: E402
from ansible.module_utils.mls_systemd import UNITS, Systemd  # noqa: E402

_RECORD = "release.json"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "home": {"type": "str", "default": ""},
            "programs": {"type": "list", "elements": "dict", "default": []},
            "slice_name": {"type": "str", "required": True},
            "timeout": {"type": "int", "default": 60},
            "state": {"type": "str", "choices": ["remembered", "restored", "settled"], "required": True},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    record = Path(parameters["home"]) / _RECORD
    if not parameters["home"]:
        module.exit_json(changed=False, kept=False)
    try:
        if parameters["state"] == "remembered":
            _remember(module, record)
        elif parameters["state"] == "settled":
            there = record.exists()
            if not module.check_mode:
                record.unlink(missing_ok=True)
            module.exit_json(changed=False, kept=there)  # a note of our own is no change of the host
        else:
            _restore(module, record)
    except (OSError, ValueError, KeyError, SupervisorError) as exc:
        module.fail_json(msg="{}: {}".format(parameters["state"], exc))


def _remember(module: Any, record: Path) -> None:
    home = record.parent
    link = _link(home)
    units = Systemd(module.params["slice_name"])
    names = units.known(program["name"] for program in module.params["programs"])
    if record.exists() or link is None or not names or module.check_mode:
        module.exit_json(changed=False, kept=record.exists())
    paths = [UNITS / units.unit(name) for name in names]
    paths += [Path(file["path"]) for program in module.params["programs"] for file in program.get("files", [])]
    files = [
        {"path": str(path), "content": path.read_text(encoding="utf-8"), "mode": path.stat().st_mode & 0o777}
        for path in [link, *paths]
        if path.is_file()
    ]
    write_file(record, json.dumps({"programs": names, "files": files}, indent=1) + "\n")
    module.exit_json(changed=False, kept=True)


def _restore(module: Any, record: Path) -> None:
    if not record.is_file() or module.check_mode:
        module.exit_json(changed=False, kept=record.is_file())
    known = json.loads(record.read_text(encoding="utf-8"))
    units = Systemd(module.params["slice_name"])
    for file in known["files"]:
        write_file(Path(file["path"]), file["content"], file["mode"])
    newcomers = [program["name"] for program in module.params["programs"] if program["name"] not in known["programs"]]
    units.remove(newcomers)
    units.restart(known["programs"])
    _wait(units, known["programs"], module.params["timeout"])
    record.unlink()
    module.exit_json(changed=True, kept=True)


def _wait(units: Systemd, names: list[str], timeout: float) -> None:
    """Wait until the programs have run for longer than the pause before systemd starts one again.

    Raises:
        SupervisorError: They do not.
    """
    deadline = time.monotonic() + timeout
    while True:
        table = {info["name"]: info for info in units.processes()}
        waiting = [
            name
            for name in names
            if table.get(name, {}).get("statename") != "RUNNING" or table[name]["now"] - table[name]["start"] < 3
        ]
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise SupervisorError("{} do not run after {:.0f} s".format(", ".join(waiting), timeout))
        time.sleep(0.2)


def _link(home: Path) -> Path | None:
    """Return the file that makes the archives part of the environment (see M(mls_runtime))."""
    return next(iter(home.glob("venv/lib/python3*/site-packages/mlsysops.pth")), None)


if __name__ == "__main__":
    main()
