"""Runs the project's playbooks with roles that only note that they were run, and break where a test says so."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import mlsysops_cli
from mlsysops_cli.assets import asset
from mlsysops_cli.runner import PlaybookRun, RunResult, SilentProgress, run_playbook

#: A step that breaks (``HOST STEP`` is among `broken`) or loses its host (among `cut`).
STEP = """---
- name: {step}
  ansible.builtin.assert:
    that: (inventory_hostname ~ ' {step}') not in broken
    fail_msg: planted
- name: Cut
  ansible.builtin.ping:
  vars: {{ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}}
  when: (inventory_hostname ~ ' {step}') in cut
"""
#: A module of ours, for tasks of the playbooks themselves.
MODULE = """#!/usr/bin/python
import json
print(json.dumps({"changed": False, "content": ""}))
# WANT_JSON
"""
SILENT = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_become": False}


@dataclass
class Steps(SilentProgress):
    """What was done: ``HOST STEP``, in the order of time."""

    done: list[str] = field(default_factory=list)

    def event(self, event: Mapping[str, Any]) -> None:
        data = event.get("event_data") or {}
        if event.get("event") == "runner_on_ok":
            self.done.append(f"{data['host']} {data['task']}")


@dataclass
class Ran:
    """How a run went."""

    result: RunResult
    done: list[str]

    def did(self, *steps: str) -> bool:
        return set(steps) <= set(self.done)


Runner = Callable[..., Ran]


def host(role: str, *, local: bool, leader: str = "") -> dict[str, Any]:
    python = sys.executable
    life = {"server": leader, "own": "/a", "kubeconfig": "/a", "leases": [], "conditions": [], "descriptions": []}
    told = {"request": {}, "lease": {}, "annotation": "a"} if role == "worker" else {}
    life |= {"farewell": told, "drained": True, "objects": [], "etcd": []}
    return {
        "role": role, "local": local, "python": python, "supervisor": {}, "settings": {"a": 1}, "imports": ["a"],
        "telemetry": {"a": 1}, "far_edge": {}, "access": {"from": "/a", "files": [], "to": "/b"}, "artifacts": [],
        "ready": {"kubeconfig": "/a", "wait": []}, "life": life,
        "k3s": {"leader": leader, "version": "v1", "access": [], "ready": {"kubeconfig": "/a", "wait": []}, "member": {"kubeconfig": "/a", "wait": []}},
    }  # fmt: skip


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Return a directory of modules that are named as ours are, and do nothing."""
    library = tmp_path / "library"
    library.mkdir()
    for module in (Path(mlsysops_cli.__file__).parent / "ansible_plugins" / "modules").glob("mls_*.py"):
        (library / module.name).write_text(MODULE, encoding="utf-8")
    return library


@pytest.fixture
def run(tmp_path: Path, library: Path) -> Runner:
    """Run a playbook of the project on a slice of a management host, a server, further servers and workers."""
    roles = tmp_path / "roles"
    for role in asset("roles").iterdir():
        for tasks in (role / "tasks").glob("*.yml"):
            stub = roles / role.name / "tasks" / tasks.name
            stub.parent.mkdir(parents=True, exist_ok=True)
            stub.write_text(STEP.format(step=f"{role.name} {tasks.stem}"), encoding="utf-8")

    def start(
        playbook: str,
        roles_of_hosts: Mapping[str, str],
        *,
        engine: str = "embedded",
        broken: Sequence[str] = (),
        cut: Sequence[str] = (),
        silent: Sequence[str] = (),
        **variables: Any,
    ) -> Ran:
        leader = next(name for name, role in roles_of_hosts.items() if role == "server")
        # Of clusters that exist, management host and servers stand for APIs alone here.
        hosts = {
            name: host(role, local=name not in silent, leader=leader)
            for name, role in roles_of_hosts.items()
            if engine != "existing" or role == "worker"
        }
        by_role = {role: [n for n in hosts if roles_of_hosts[n] == role] for role in ("management", "server", "worker")}
        first, joining = by_role["server"][:1], by_role["server"][1:]
        groups: dict[str, list[str]] = {
            "management": by_role["management"], "servers": first, "workers": by_role["worker"], "gateways": [],
            "agents": list(hosts) if engine == "embedded" else [], "pods": [], "credentials": [],
            "northbound": by_role["management"], "apis": [],
        }  # fmt: skip
        if engine != "embedded":
            groups["apis"] = [name for name, role in roles_of_hosts.items() if role != "worker" and name not in joining]
        if engine == "k3s":
            groups |= {
                "k3s_first": groups["apis"],
                "k3s_joining": joining,
                "k3s_agents": by_role["worker"],
                "members": first,
            }
        plan = {
            "slice": "s", "engine": engine, "all_or_nothing": False, "groups": groups, "hosts": hosts,
            "apis": {name: {"cluster": "c", "objects": [], "pods": []} for name in groups["apis"]},
            "karmada": {"version": "v1", "access": []}, "continuum": {"kubeconfig": "/a", "clusters": {"c": "/a"}},
        }  # fmt: skip
        plan_file, inventory = tmp_path / "plan.json", tmp_path / "hosts.json"
        plan_file.write_text(json.dumps({"mls_plan": plan, "broken": list(broken), "cut": list(cut)}), encoding="utf-8")
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
        reached = {name: SILENT if name in silent else here for name in roles_of_hosts}
        inventory.write_text(json.dumps({"all": {"hosts": reached}}), encoding="utf-8")
        steps = Steps()
        result = run_playbook(
            PlaybookRun(
                playbook=asset("playbooks", playbook),
                inventories=[inventory],
                state=tmp_path / "state",
                logs=tmp_path / "logs",
                extra_vars=plan_file,
                variables=variables,
                local_only=True,
                environment={
                    "ANSIBLE_ROLES_PATH": str(roles),
                    "ANSIBLE_LIBRARY": str(library),
                    "HOME": os.environ["HOME"],
                },
            ),
            steps,
        )
        return Ran(result, steps.done)

    return start
