"""Packages without wheels for a kind of host: all of them are named at once, each with what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from mlsysops_core.errors import InvalidInput, MlsError

from mlsysops_cli.actions.framework.preflight import _look_for_wheels, _rows
from mlsysops_cli.actions.framework.remote import RemoteHosts
from mlsysops_cli.inventory import load_slice
from mlsysops_cli.runner import RunResult
from mlsysops_cli.runtime import Archive, Target, WheelsMissing, wheelhouse
from mlsysops_cli.settings import Settings

ARMHF = Target("3.11", "armv7l", 36)
PINS = ["aiohttp==3.14.5", "cel-expr-python==0.1.3", "cffi==2.1.1", "PyYAML==6.0.3", "yarl==1.25.1"]


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[tuple[str, ...]]]:
    """An index that lacks some packages, as pip tells of it: one at a time, the first that is asked for."""
    asked: list[tuple[str, ...]] = []

    def make(lacks: str) -> list[tuple[str, ...]]:
        def pip(*arguments: str, timeout: float = 0, environment: dict[str, str] | None = None) -> None:
            asked.append((*arguments, *(environment or {})))
            if arguments[0] == "wheel":
                return
            if arguments[0] == "download":
                if lacks and "--find-links" not in arguments:
                    raise MlsError("pip download: ERROR: No matching distribution found for something")
                Path(arguments[arguments.index("--dest") + 1]).mkdir()
                return
            for pin in (one for one in arguments if "==" in one):
                if pin.partition("==")[0].lower() in lacks.split():
                    raise MlsError(f"pip install: ERROR: No matching distribution found for {pin}")
            if lacks == "everything":
                raise MlsError("pip install: ERROR: the proxy says no")

        monkeypatch.setattr(wheelhouse, "pip", pip)
        return asked

    return make


def test_every_package_is_named_and_nothing_that_a_worker_does_without(
    index: Callable[[str], list[tuple[str, ...]]],
) -> None:
    asked = index("cffi pyyaml cel-expr-python")
    assert wheelhouse.lacking_wheels(ARMHF, PINS) == ["cffi==2.1.1"]
    assert len(asked) == 3  # PyYAML has none either, and does without what is compiled of it
    assert all("--dry-run" in one for one in asked)


def test_what_runs_uncompiled_is_built_here(index: Callable[[str], list[tuple[str, ...]]], tmp_path: Path) -> None:
    asked = index("pyyaml")
    kept = wheelhouse.wheelhouse(tmp_path / "kept", tmp_path, ARMHF, "agents", PINS)
    assert kept.is_dir()
    (built,) = [one for one in asked if one[0] == "wheel"]
    assert built[-2:] == ("PyYAML==6.0.3", "PYYAML_FORCE_LIBYAML")
    assert asked[-1][-2:] == ("--find-links", str(tmp_path / "pure"))


def test_nothing_is_built_where_it_is_of_no_use(index: Callable[[str], list[tuple[str, ...]]], tmp_path: Path) -> None:
    asked = index("pyyaml cffi")
    with pytest.raises(WheelsMissing, match=r"of: cffi==2\.1\.1 "):
        wheelhouse.wheelhouse(tmp_path / "kept", tmp_path, ARMHF, "agents", PINS)
    assert not [one for one in asked if one[0] == "wheel"]


def test_an_index_that_has_all(index: Callable[[str], list[tuple[str, ...]]]) -> None:
    index("")
    assert wheelhouse.lacking_wheels(ARMHF, PINS) == []


@pytest.mark.parametrize("lacks", ["everything", "aiohttp cffi pyyaml yarl"])
def test_what_is_no_lack_of_wheels_is_not_called_one(index: Callable[[str], list[tuple[str, ...]]], lacks: str) -> None:
    asked = index(lacks)
    assert wheelhouse.lacking_wheels(ARMHF, PINS) == []
    assert len(asked) <= 3


def test_preflight_says_it_of_the_host_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = {"python": "3.11.2", "machine": "armv7l", "libc": "glibc 2.36"}
    checks = {
        "pi": {"findings": [], "summary": "Raspberry Pi OS", "kind": kind},
        "old": {"findings": [], "summary": "Debian 11", "kind": kind | {"python": "3.9.2"}},
        "gone": {"findings": [], "summary": ""},
    }
    monkeypatch.setattr(
        "mlsysops_cli.actions.framework.preflight.lacking",
        lambda target, _extras: ["cffi==2.1.1"] if target == ARMHF else [],
    )
    result = RunResult(checks=checks)
    _look_for_wheels(result, ())
    (row,) = [row for row in _rows(["pi", "old", "gone"], result, "inv.yml") if row["state"] == "fail"]
    assert (row["host"], row["check"]) == ("pi", "environment")
    assert row["found"] == "no wheels for Python 3.11 on armv7l of: cffi==2.1.1"
    for word in ("pip wheel --no-deps cffi==2.1.1", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        assert word in row["fix"]
    assert "\n" not in str(WheelsMissing(ARMHF, ["cffi==2.1.1"]))


def test_hosts_without_wheels_fail_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def build(target: Target, _note: object, _extras: object) -> list[Archive]:
        if target == ARMHF:
            raise WheelsMissing(target, ["cffi==2.1.1"])
        return [Archive(tmp_path / "a.tar.gz", "digest")]

    monkeypatch.setattr("mlsysops_cli.actions.framework.remote.build_archives", build)
    slice_ = load_slice(write_inventory(tmp_path, mgmt="10.0.0.1", pi="10.0.0.2"))
    remote = RemoteHosts(Settings(), slice_, "inv.yml", tmp_path, None, accept_host_keys=False)
    pc = {"python": "3.11.2", "machine": "x86_64", "libc": "glibc 2.36"}
    built, missing = remote.environments({"mgmt": pc, "pi": pc | {"machine": "armv7l"}})
    assert set(built) == {"mgmt", "pi"}
    assert {host: str(why).partition(" of: ")[2][:11] for host, why in missing.items()} == {"pi": "cffi==2.1.1"}
    with pytest.raises(InvalidInput, match=r"pi: no wheels for Python 3\.11 on armv7l of: cffi==2\.1\.1"):
        remote.environments({"pi": pc | {"machine": "armv7l"}})


def write_inventory(directory: Path, mgmt: str, pi: str) -> str:
    at = {"k3s_cluster_name": "c1"}
    groups = {
        "management_cluster": {"hosts": {"mgmt": {"ansible_host": mgmt, "mls_slice": "x"}}},
        "c1": {
            "children": {
                "master_nodes": {"hosts": {"server": at | {"ansible_connection": "local"}}},
                "worker_nodes": {"hosts": {"pi": at | {"ansible_host": pi}}},
            }
        },
    }
    path = directory / "inv.yml"
    path.write_text(yaml.safe_dump({"all": {"children": groups}}), encoding="utf-8")
    return str(path)
