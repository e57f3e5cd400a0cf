"""A host that is worked on alone is held against those of the slice that are left out of the run."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from mlsysops_cli.assets import asset
from mlsysops_cli.inventory import load_slice
from mlsysops_cli.render import known_identities, save_facts, save_identities
from mlsysops_cli.runner import PlaybookRun, RunResult, SilentProgress, run_playbook

#: Looks at no machine: who a host is, it takes from what it is told its environment lacks.
LOOK = """#!/usr/bin/python
import json, sys
given = json.load(open(sys.argv[1]))
identity = {"host": given["host"], **given["environment"]}
facts = {"findings": [], "summary": "", "kind": {}, "identity": identity}
print(json.dumps({"changed": False, "findings": [], "identity": identity, "ansible_facts": {"mls_preflight": facts}}))
# WANT_JSON
"""


def who(host: str, **more: str) -> dict[str, str]:
    return {"host": host, "hostname": host, "machine_id": f"m-{host}", "boot_id": f"b-{host}", **more}


def look(tmp_path: Path, hosts: dict[str, dict[str, str]], known: list[dict[str, str]], limit: str = "") -> RunResult:
    """Run the playbook `preflight` on hosts that are who they are said to be."""
    library = tmp_path / "library"
    library.mkdir()
    (library / "mls_preflight.py").write_text(LOOK, encoding="utf-8")
    own = asset("roles").parent / "mlsysops_cli" / "ansible_plugins"
    shutil.copy(own / "modules" / "mls_verdict.py", library)
    parts: dict[str, Any] = {
        name: {
            "local": True, "supervisor": {}, "ports": [],
            "needs": {"places": [], "memory": 0, "units": [], "proxy_target": "",
                      "environment": {key: value for key, value in identity.items() if key != "host"}},
        }
        for name, identity in hosts.items()
    }  # fmt: skip
    plan = {"slice": "s", "engine": "embedded", "hosts": parts, "identities": known}
    plan_file, inventory = tmp_path / "plan.json", tmp_path / "hosts.json"
    plan_file.write_text(json.dumps({"mls_plan": plan}), encoding="utf-8")
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
    inventory.write_text(json.dumps({"all": {"hosts": dict.fromkeys(hosts, here)}}), encoding="utf-8")
    run = PlaybookRun(
        playbook=asset("playbooks", "preflight.yml"),
        inventories=[inventory],
        state=tmp_path / "state",
        logs=tmp_path / "logs",
        extra_vars=plan_file,
        limit=limit,
        local_only=True,
        environment={"ANSIBLE_LIBRARY": str(library)},
    )
    return run_playbook(run, SilentProgress())


@pytest.mark.parametrize(
    ("same", "said"),
    [
        ({"hostname": "worker1"}, "host name worker1 is also that of worker1"),
        ({"machine_id": "m-worker1"}, "machine id is also that of worker1"),
        ({"boot_id": "b-worker1"}, "same machine as worker1"),
    ],
)
def test_a_newcomer_is_none_of_the_hosts_that_are_there(tmp_path: Path, same: dict[str, str], said: str) -> None:
    result = look(tmp_path, {"worker2": who("worker2", **same)}, [who("worker1")])
    (failure,) = result.failures
    assert failure.host == "worker2"
    assert said in failure.message


def test_a_chosen_host_is_held_against_the_others_and_not_against_what_it_was(tmp_path: Path) -> None:
    hosts = {name: who(name) for name in ("worker1", "worker2")}
    known = [who("worker1", hostname="worker2"), who("worker2", boot_id="before", machine_id="m-worker3"), who("mgmt")]
    # What was known of hosts that are looked at now does not count any more.
    assert look(tmp_path, hosts, known).failures == []


def test_a_limit_leaves_nobody_out(tmp_path: Path) -> None:
    hosts = {"worker1": who("worker1"), "worker2": who("worker2", machine_id="m-worker1")}
    (failure,) = look(tmp_path, hosts, [who("worker1")], limit="worker2").failures
    assert "machine id is also that of worker1" in failure.message


def test_who_the_hosts_are_is_kept_beside_their_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    slice_ = load_slice(str(asset("inventories", "testbed.yml")))
    first, second, third = [host.name for host in slice_.hosts.values()][:3]
    save_facts(slice_, {first: {"architecture": "amd64"}, second: {"architecture": "arm64"}})
    twin = {"check": "identity", "found": "", "fix": "", "level": "fault"}
    save_identities(
        slice_,
        {
            first: {"findings": [], "identity": who(first)},
            second: {"findings": [twin], "identity": who(second)},
            third: {"findings": [], "identity": who(third)},  # without facts it is to be asked again
        },
    )
    assert known_identities(slice_) == [who(first)]
