"""What deployments applied is remembered until it was deleted, and only what is not wanted is offered for deletion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlsysops_cli.slice import AppliedObjects


def obj(kind: str, name: str, namespace: str = "") -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


def test_what_is_no_longer_wanted_is_named_until_it_is_gone(tmp_path: Path) -> None:
    old, new = obj("Role", "worker2", "mlsysops"), obj("Role", "worker1", "mlsysops")
    applied = AppliedObjects.load(tmp_path)
    assert applied.superfluous("server", [old, new]) == []
    applied.add("server", [old, new])
    applied.save()
    applied = AppliedObjects.load(tmp_path)
    gone = applied.superfluous("server", [new])
    role = {"api_version": "v1", "kind": "Role", "namespace": "mlsysops", "name": "worker2"}
    assert gone == [role | {"slice": tmp_path.name}]
    applied.add("server", [new])  # the run that was to delete it is interrupted
    assert applied.superfluous("server", [new]) == gone
    applied.forget("server", gone)
    applied.save()
    assert AppliedObjects.load(tmp_path).superfluous("server", [new]) == []


def test_kinds_that_hold_what_people_made_stay(tmp_path: Path) -> None:
    applied = AppliedObjects(tmp_path)
    applied.add("mgmt", [obj("Namespace", "mlsysops"), obj("CustomResourceDefinition", "x"), obj("Role", "x")])
    assert [one["kind"] for one in applied.superfluous("mgmt", [])] == ["Role"]


def test_control_planes_are_kept_apart_and_the_file_is_private(tmp_path: Path) -> None:
    applied = AppliedObjects(tmp_path)
    applied.add("one", [obj("Role", "x")])
    applied.save()
    assert applied.superfluous("two", []) == []
    assert (tmp_path / "applied.json").stat().st_mode & 0o077 == 0
