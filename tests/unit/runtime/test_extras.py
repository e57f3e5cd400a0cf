"""What is in the environment of hosts: what every engine does, agents there do, too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlsysops_core.errors import InvalidInput
from packaging.requirements import Requirement

from mlsysops_cli.actions.framework.remote import RemoteHosts
from mlsysops_cli.inventory import load_slice
from mlsysops_cli.runtime import Archive, Target
from mlsysops_cli.runtime import build as building
from mlsysops_cli.runtime.wheel import requirements
from mlsysops_cli.settings import Settings
from mlsysops_cli.slice import Slice

PC = Target("3.11", "x86_64", 36)
ARMHF = Target("3.11", "armv7l", 36)


def packages(target: Target, more: Sequence[str] = ()) -> set[str]:
    return {Requirement(line).name for line in requirements(building._extras(target, more))}


def slice_of(directory: Path, server: dict[str, Any] | None = None, **variables: Any) -> tuple[Slice, str]:
    groups = {
        "management_cluster": {"hosts": {"mgmt": {"ansible_host": "10.0.0.1"}}},
        "c1": {
            "children": {
                "master_nodes": {"hosts": {"server": {"ansible_host": "10.0.0.2", **(server or {})}}},
                "worker_nodes": {"hosts": {"w1": {"ansible_host": "10.0.0.3"}}},
            }
        },
    }
    path = directory / "inv.yml"
    made = {"mls_slice": "x", "mls_engine": "embedded", "ansible_user": "root", **variables}
    path.write_text(yaml.safe_dump({"all": {"vars": made, "children": groups}}), encoding="utf-8")
    return load_slice(str(path)), str(path)


@pytest.mark.parametrize("target", [PC, ARMHF], ids=lambda target: target.machine)
def test_knobs_of_a_node_are_on_every_host(target: Target) -> None:
    assert {"nvidia-ml-py", "pyroute2", "pip"} <= packages(target)
    assert not {"ortools", "pandas"} & packages(target), "large, and only for who asks"


def test_what_the_inventory_asks_for_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[frozenset[str]] = []

    def build(_target: Target, _note: object, more: frozenset[str]) -> list[Archive]:
        asked.append(more)
        return [Archive(tmp_path / "a.tar.gz", "digest")]

    monkeypatch.setattr("mlsysops_cli.actions.framework.remote.build_archives", build)
    facts = {host: {"python": "3.11.2", "machine": "x86_64", "libc": "glibc 2.36"} for host in ("mgmt", "server", "w1")}
    exact = {"mls_placement": {"exact_seconds": 20}}
    for slice_, path in (slice_of(tmp_path), slice_of(tmp_path, exact, mls_policy_dataframe=True)):
        RemoteHosts(Settings(), slice_, path, tmp_path, None, accept_host_keys=False).environments(facts)
    plain, more = asked
    assert plain == frozenset()
    assert {"ortools", "pandas"} <= packages(PC, sorted(more))
    # Control planes, whose agents place, cannot be there; the data frame is for agents of nodes, too.
    assert "ortools" not in packages(ARMHF, sorted(more))
    assert "pandas" in packages(ARMHF, sorted(more))


def test_whether_there_is_a_data_frame_is_said_with_yes_or_no(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as told:
        slice_of(tmp_path, mls_policy_dataframe="please")
    assert all("mls_policy_dataframe" in str(fault) and "true or false" in str(fault) for fault in told.value.faults)


def test_images_can_do_what_any_slice_asks_for() -> None:
    text = (Path(__file__).parents[3] / "agents/Dockerfile").read_text(encoding="utf-8")
    assert "[agents,dataframe,gpu,network,optimize,plugins]" in text
