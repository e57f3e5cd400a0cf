"""What `mls framework destroy-all` says, and does with the state, where a host is really gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlsysops_core.errors import PartialFailure

from mlsysops_cli.actions.framework.destroy import Extent, destroy
from mlsysops_cli.errors_render import error_lines
from mlsysops_cli.settings import Settings
from mlsysops_cli.slice import SliceState, slice_directory


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
