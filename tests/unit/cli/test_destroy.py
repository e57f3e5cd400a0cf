"""What `mls framework destroy-all` says, and does with the state, where hosts do not answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlsysops_core.errors import PartialFailure

from mlsysops_cli.actions.framework.destroy import Extent, destroy, judge
from mlsysops_cli.errors_render import error_lines
from mlsysops_cli.runner import Failure, HostResult, RunResult
from mlsysops_cli.settings import Settings
from mlsysops_cli.slice import SliceState, slice_directory


def ran(*failures: Failure, hosts: str) -> RunResult:
    away = {failure.host for failure in failures if failure.task == "See whether the host answers"}
    return RunResult(hosts={host: HostResult(unreachable=host in away) for host in hosts}, failures=list(failures))


GONE = Failure("b", "See whether the host answers", "no route", "unreachable", "switch it on")
BROKEN = Failure("a", "Remove the host's files", "read-only file system")


def test_every_host_that_is_left_has_a_line() -> None:
    outcome = judge(ran(BROKEN, GONE, Failure("here", "x", "y"), hosts="ab"), ["a", "b", "c"], {}, abandon=False)
    assert [line.split(": ")[0] for line in outcome.left] == ["a", "b", "c"]
    assert "inventory" in outcome.left[2]
    assert outcome.silent == ["b", "c"]


def test_only_hosts_that_do_not_answer_are_abandoned() -> None:
    outcome = judge(ran(BROKEN, GONE, hosts="ab"), ["a", "b", "c"], {}, abandon=True)
    assert outcome.left == ["a: Remove the host's files: read-only file system"]
    assert outcome.silent == ["b", "c"]


def test_apis_that_do_not_answer_are_abandoned() -> None:
    apis = ["a", "server"]
    silent = [Failure(host, "Remove objects", "refused", "unreachable") for host in apis]
    assert judge(ran(*silent, hosts="ab"), ["a", "b"], apis, abandon=True).left == []
    assert len(judge(ran(*silent, hosts="ab"), ["a", "b"], apis, abandon=False).left) == 2


def test_a_run_that_never_began_is_no_success() -> None:
    result = RunResult(returncode=4, said=["[ERROR]: no inventory"])
    assert "no inventory" in judge(result, ["a"], {}, abandon=True).left[0]


@pytest.fixture
def dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the state of a slice whose only host is gone."""
    for name in ("DATA", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    inventory = tmp_path / "inv.json"
    variables = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_connection": "ssh"}
    inventory.write_text(json.dumps({"all": {"hosts": {"w1": variables}}}), encoding="utf-8")
    SliceState(name="lost", inventory=str(inventory)).save()
    part: dict[str, Any] = {
        "local": False, "role": "worker", "supervisor": {"slice": "lost", "directory": "/a"}, "controlplane": {},
        "kubelet": {"programs": [{"name": "w1-kubelet"}]}, "agents": {"programs": [{"name": "w1-agent"}]}, "northbound": {},
        "remove": {"paths": ["/var/lib/mlsysops/lost"], "parents": []},
    }  # fmt: skip
    groups: dict[str, list[str]] = {"management": [], "servers": [], "workers": ["w1"], "northbound": [], "apis": []}
    plan = {"slice": "lost", "engine": "embedded", "hosts": {"w1": part}, "groups": groups}
    (slice_directory("lost") / "plan.json").write_text(json.dumps({"mls_plan": plan}), encoding="utf-8")
    (slice_directory("lost") / "hosts.json").write_text('{"all": {"hosts": {}}}', encoding="utf-8")
    return slice_directory("lost")


def test_a_slice_outlives_its_hosts_no_longer_than_a_person_wants(
    dead: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(quiet=True, output="json")
    with pytest.raises(PartialFailure) as caught:
        destroy(settings, "lost", yes=True, vault_password_file=None)
    first, summary = error_lines(caught.value)[0]
    assert first.startswith("error: w1: See whether the host answers: ")
    assert summary.startswith(
        "error: slice lost is not gone (run it again; for hosts that are gone for good add --abandon"
    )
    told = json.loads(capsys.readouterr().out)
    assert (told["gone"], told["left"], [one["host"] for one in told["failures"]]) == (False, {}, ["w1"])
    assert dead.is_dir()

    settings.output = "table"
    destroy(settings, "lost", yes=True, vault_password_file=None, extent=Extent(abandon=True))
    assert capsys.readouterr().out == (
        "slice lost is gone\n  left on w1: unit mls-lost-w1-kubelet, unit mls-lost-w1-agent, /var/lib/mlsysops/lost\n"
    )
    assert not dead.exists()
