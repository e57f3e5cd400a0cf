"""What clusters had before the first deployment stays: definitions, namespaces and their labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlsysops_cli.actions.framework import removal
from mlsysops_cli.actions.framework.removal import purge, return_namespaces
from mlsysops_cli.existing.before import had_before, remember, shared_paths

PATHS = shared_paths(("mlsysops", "mlsysops-framework"))
APPLICATIONS = "/api/v1/namespaces/mlsysops"
OURS = {"app.kubernetes.io/managed-by": "mls", "app.kubernetes.io/part-of": "mlsysops"}
PLAN: dict[str, Any] = {"apis": {"s": {"objects": [{"kubeconfig": "/k"}], "pods": [{"kubeconfig": "/k"}]}}}


class FakeApi:
    """An API in memory that has everything, with our labels."""

    host = "https://x"

    def __init__(self) -> None:
        self.labels: dict[str, dict[str, str]] = {path: dict(OURS) for path in PATHS}
        self.resists = 0

    def __call__(self, kubeconfig: str, **_: Any) -> FakeApi:
        assert kubeconfig == "/k"
        return self

    def get(self, path: str) -> Any:
        return {"metadata": {"uid": path, "labels": dict(self.labels[path])}} if path in self.labels else None

    def delete(self, path: str) -> bool:
        return self.labels.pop(path, None) is not None

    def request(self, method: str, path: str, *, body: Any, content_type: str) -> None:
        assert (method, content_type) == ("PATCH", "application/merge-patch+json")
        for key, value in body["metadata"]["labels"].items():
            if value is None:
                del self.labels[path][key]
            else:
                self.labels[path][key] = value
        if self.resists:
            self.resists -= 1
            self.labels[path] |= OURS


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    made = FakeApi()
    monkeypatch.setattr(removal, "Api", made)
    monkeypatch.setattr(removal.time, "sleep", lambda _: None)
    return made


def test_a_purge_takes_what_came_with_us(api: FakeApi, tmp_path: Path) -> None:
    remember(tmp_path, {"/k": {}})
    assert list(return_namespaces(PLAN, tmp_path)) == []
    assert list(purge(PLAN, tmp_path)) == []
    assert api.labels == {}


def test_what_was_there_stays_and_namespaces_get_their_labels_back(api: FakeApi, tmp_path: Path) -> None:
    enforce = "pod-security.kubernetes.io/enforce"
    remember(tmp_path, {"/k": {APPLICATIONS: {"team": "a", enforce: "baseline"}, PATHS[0]: {}}})
    api.labels[APPLICATIONS] |= {"team": "a", enforce: "privileged"}
    api.resists = 2  # Karmada mends what differs from its own version, until it has let go
    assert list(return_namespaces(PLAN, tmp_path)) == []
    assert list(purge(PLAN, tmp_path)) == []
    assert api.labels == {APPLICATIONS: {"team": "a", enforce: "baseline"}, PATHS[0]: OURS}


def test_only_the_first_deployment_is_remembered(tmp_path: Path) -> None:
    remember(tmp_path, {"/k": {APPLICATIONS: {}}})
    remember(tmp_path, {"/k": {}})
    assert had_before(tmp_path) == {"/k": {APPLICATIONS: {}}}
    # One that a version without this memory deployed: whatever is there now may be ours.
    older = tmp_path / "older"
    older.mkdir()
    (older / "applied.json").write_text("{}")
    remember(older, {"/k": {APPLICATIONS: {}}})
    assert had_before(older) == {}
