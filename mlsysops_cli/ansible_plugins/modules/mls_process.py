"""Ansible module: programs of a slice under its supervisor."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_process
short_description: Keep programs of a slice running under its supervisor
description:
  - Writes each program's config files and its section of the supervisor's configuration, starts the supervisor where
    it does not run, starts or restarts what changed, and waits until every readiness probe succeeds.
options:
  supervisor:
    description: >-
      What keeps them - C(kind) C(supervisord), which has its files in C(directory), or C(systemd) - and the name of the
      C(slice).
    type: dict
    required: true
  programs:
    description: >-
      Programs, each with C(name), C(command), C(directory), C(log), C(environment), C(files) (C(path), C(content)) and
      a readiness C(probe) with one of C(url) (and C(ca_file)), C(tcp) or C(file).
    type: list
    elements: dict
    default: []
  state:
    description: Whether the programs run, or are gone; or only how they are (C(query)).
    type: str
    choices: [present, absent, query]
    default: present
  shutdown:
    description: Stop the supervisor itself; with C(state=absent).
    type: bool
    default: false
  timeout:
    description: Seconds until every probe must have succeeded.
    type: int
    default: 60
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Keep a program running
  mls_process:
    supervisor: {directory: /var/lib/x/supervisor, slice: x}
    programs:
      - name: worker1-kubelet
        command: [/opt/bin/python, -m, mlsysops_embedded, kubelet, --config, /var/lib/x/kubelet.yaml]
        directory: /var/lib/x
        log: /var/lib/x/kubelet.log
"""

RETURN = r"""
touched:
  description: Names of the programs that were started, restarted or removed.
  returned: always
  type: list
started_at:
  description: The host's time in seconds since the epoch when whatever had to be started was; 0 where nothing is started.
  returned: with state=present and state=absent
  type: float
ansible_facts:
  description: The table of processes, under C(mls_processes); with C(state=query).
  returned: with state=query
  type: dict
"""

import socket  # noqa: E402 - Ansible wants the documentation first
import ssl  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
import urllib.error  # noqa: E402
import urllib.request  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_supervisor import Supervisor, SupervisorError  # noqa: E402
from ansible.module_utils.mls_systemd import Systemd  # noqa: E402

FATAL_STATUS = 3  # our programs' exit status for a configuration error: trying again does not help


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "supervisor": {"type": "dict", "required": True},
            "programs": {"type": "list", "elements": "dict", "default": []},
            "state": {"type": "str", "choices": ["present", "absent", "query"], "default": "present"},
            "shutdown": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    where = parameters["supervisor"]
    supervisor: Any = Supervisor(where["directory"], where["slice"], sys.executable)
    if where.get("kind") == "systemd":
        supervisor = Systemd(where["slice"])
    programs = parameters["programs"]
    started_at = 0.0
    try:
        if parameters["state"] == "query":
            module.exit_json(changed=False, ansible_facts={"mls_processes": supervisor.processes()})
        if parameters["state"] == "absent":
            touched = _remove(module, supervisor, programs)
        elif module.check_mode:
            touched = supervisor.pending(programs)
        else:
            touched = supervisor.ensure(programs)
            started_at = time.time()
            _wait(module, supervisor, programs, parameters["timeout"])
    except SupervisorError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=bool(touched), touched=touched, started_at=started_at)


def _remove(module: Any, supervisor: Any, programs: list[dict[str, Any]]) -> list[str]:
    names = [program["name"] for program in programs]
    shutdown = module.params["shutdown"]
    if module.check_mode:
        there: list[str] = supervisor.known(names)
        return there + (["supervisord"] if shutdown and supervisor.running() else [])
    touched: list[str] = supervisor.remove(names)
    if shutdown and supervisor.shutdown():
        touched = [*touched, "supervisord"]
    return touched


def _wait(module: Any, supervisor: Any, programs: list[dict[str, Any]], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    waiting = {program["name"]: program for program in programs}
    delay = 0.05
    while True:
        states = {info["name"]: info for info in supervisor.processes()}
        for name, program in list(waiting.items()):
            info = states.get(name, {})
            if info.get("statename") in ("STARTING", "RUNNING") and _ready(program.get("probe"), info):
                del waiting[name]
            elif info.get("exitstatus") == FATAL_STATUS and info.get("statename") != "RUNNING":
                module.fail_json(msg=f"{name} stopped: {_last_line(supervisor, program)}")
        if not waiting:
            return
        if time.monotonic() > deadline:
            name, program = next(iter(waiting.items()))
            state = states.get(name, {}).get("statename", "unknown")
            module.fail_json(
                msg=f"{name} is not ready after {timeout} s ({state.lower()}): {_last_line(supervisor, program)}",
                mls_error="timed-out",
            )
        time.sleep(delay)
        delay = min(delay * 1.5, 0.4)


def _ready(probe: dict[str, str] | None, info: dict[str, Any]) -> bool:
    if not probe:
        return bool(info.get("statename") == "RUNNING")
    try:
        if "tcp" in probe:
            address, _, port = probe["tcp"].rpartition(":")
            socket.create_connection((address, int(port)), timeout=2).close()
            return True
        if "file" in probe:
            return Path(probe["file"]).exists()
        context = ssl.create_default_context(cafile=probe.get("ca_file")) if probe["url"].startswith("https") else None
        with urllib.request.urlopen(probe["url"], timeout=2, context=context) as answer:  # noqa: S310 - our own URL
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError, ValueError):  # not yet
        return False


def _last_line(supervisor: Any, program: dict[str, Any]) -> str:
    if isinstance(supervisor, Systemd):
        lines = supervisor.last_lines(program["name"])
        return lines[-1] if lines else "nothing in the journal of {}".format(supervisor.unit(program["name"]))
    try:
        with Path(program["log"]).open("rb") as stream:
            stream.seek(max(0, Path(program["log"]).stat().st_size - 4096))
            lines = [line for line in stream.read().decode("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1] if lines else "nothing in {}".format(program["log"])


if __name__ == "__main__":
    main()
