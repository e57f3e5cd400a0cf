"""`mls apps`, end to end but for the network."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlsysops_northbound.store import resource_of

APPS = resource_of("MLSysOpsApp")
Golden = Callable[[str, str], None]

STATUS: dict[str, Any] = {
    "observedGeneration": 1,
    "phase": "Degraded",
    "conditions": [
        {"type": "Placed", "status": "True", "reason": "Placed"},
        {"type": "Ready", "status": "False", "reason": "NotReady", "message": "1 of 2 components ready"},
        {"type": "TargetsMet", "status": "False", "reason": "Missed"},
    ],
    "components": [
        {"name": "web", "cluster": "cluster1", "node": "worker1", "phase": "Running", "ready": True, "restarts": 1},
        {"name": "cart", "cluster": "cluster1", "node": None, "phase": "Pending", "message": "image is being fetched"},
    ],
    "performance": [
        {
            "component": "web",
            "metric": "latency",
            "value": 31.5,
            "target": 20,
            "relation": "lower_or_equal",
            "satisfied": False,
        },
        {"component": "cart", "metric": "sold", "target": 5, "relation": "greater_than"},
    ],
    "satisfaction": {"value": 0.25, "threshold": 0.7, "relation": "greater_than", "satisfied": False},
    "decisions": [
        {
            "id": "d2",
            "time": "2026-11-20T10:00:05Z",
            "tier": "cluster",
            "agent": "cluster1",
            "trigger": "application changed",
            "policy": "staticPlacedComponents",
            "verdict": "place",
            "component": "web",
            "plan": {
                "fluidity": {
                    "name": "shop",
                    "deployment_plan": {"initial_plan": True, "web": [{"action": "deploy", "host": "worker1"}]},
                }
            },
            "outcome": "done",
            "rejected": [
                {"candidate": "worker2", "filter": "architecture", "reason": "needs amd64, has arm64"},
                {"candidate": "worker3", "filter": "memory", "reason": "needs 64Mi, free 12Mi"},
                {"candidate": "worker4", "filter": "architecture", "reason": "needs amd64, has armhf"},
            ],
            "durationMs": {"analyze": 0.4, "plan": 1.25, "execute": 12},
        },
        {
            "id": "d1",
            "time": "2026-11-20T10:00:01Z",
            "tier": "continuum",
            "agent": "farm",
            "policy": "clusterPlacement",
            "verdict": "assign",
            "plan": {"clusterPlacement": {"web": "cluster1", "cart": "cluster1"}},
            "outcome": "done",
        },
    ],
}


@pytest.fixture
def deployed(mls: Any, app_yaml: str) -> Any:
    """`mls` with an application that its agents have reported on."""
    assert mls("apps", "deploy-app", "--path", mls.file("app.yaml", app_yaml)).code == 0
    obj = mls.store.objects["mlsysopsapps", "mlsysops", "shop"]
    obj["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    mls.store.put(APPS, {**obj, "status": STATUS})
    return mls


def test_deploying_says_what_was_done_and_repeating_it_changes_nothing(mls: Any, app_yaml: str) -> None:
    file = mls.file("app.yaml", app_yaml)
    first = mls("apps", "deploy-app", "--path", file)
    assert (first.code, first.out) == (0, "application/shop created\n")
    again = mls("apps", "deploy-app", "--path", "-", stdin=app_yaml)
    assert (again.code, again.out) == (0, "application/shop unchanged\n")
    changed = mls.file("app2.yaml", app_yaml.replace("web:1", "web:2"))
    conflict = mls("apps", "deploy-app", "--path", changed)
    assert conflict.code == 7
    assert len(conflict.errors) == 1
    forced = mls("apps", "deploy-app", "--path", changed, "--force", "-o", "json")
    assert json.loads(forced.out)["action"] == "updated"


def test_dry_runs_write_nothing(mls: Any, app_yaml: str) -> None:
    file = mls.file("app.yaml", app_yaml)
    client = mls("apps", "deploy-app", "--path", file, "--dry-run=client", "-o", "yaml")
    assert "apiVersion: mlsysops.eu/v1" in client.out
    assert not mls.transport.requests
    server = mls("apps", "deploy-app", "--path", file, "--dry-run=server")
    assert server.out == "application/shop created (server dry run)\n"
    assert not mls.store.objects


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("apps-list", ["apps", "list-all"]),
        ("apps-list-name", ["apps", "list-all", "-o", "name"]),
        ("apps-list-wide", ["apps", "list-all", "-o", "wide"]),
        ("apps-status", ["apps", "get-app-status", "shop"]),
        ("apps-details", ["apps", "get-app-details", "shop"]),
        ("apps-performance", ["apps", "get-app-performance", "shop"]),
        ("apps-explain", ["apps", "explain", "shop"]),
    ],
)
def test_what_people_read(deployed: Any, golden: Golden, name: str, arguments: list[str]) -> None:
    result = deployed(*arguments)
    assert (result.code, result.err) == (0, "")
    golden(name, re.sub(r"\d{4}d\b", "2000d", result.out))


def test_structured_output_is_the_whole_answer(deployed: Any) -> None:
    assert json.loads(deployed("apps", "list-all", "-o", "json").out)["items"][0]["id"] == "shop"
    assert deployed("-o", "jsonpath={.items[*].phase}", "apps", "list-all").out == "Degraded"
    assert "observedGeneration: 1" in deployed("apps", "get-app-status", "shop", "-o", "yaml").out
    assert deployed("apps", "get-app-status", "shop", "-o", "name").out == "application/shop\n"


def test_diff_tells_by_its_exit_code(deployed: Any, app_yaml: str) -> None:
    same = deployed("apps", "diff", "--path", deployed.file("same.yaml", app_yaml))
    assert (same.code, same.out) == (0, "")
    other = deployed("apps", "diff", "--path", deployed.file("other.yaml", app_yaml.replace("web:1", "web:2")))
    assert other.code == 1
    assert "-    - image: example.org/web:1\n+    - image: example.org/web:2\n" in other.out
    broken = deployed("apps", "diff", "--path", deployed.file("broken.yaml", "MLSysOpsApp: {nam: x}"))
    assert broken.code == 3


def test_removal_waits_until_it_is_gone(deployed: Any) -> None:
    result = deployed("apps", "remove-app", "shop")
    assert (result.code, result.out) == (0, "application/shop removed\n")
    assert deployed("apps", "get-app-status", "shop").code == 6
    assert deployed("apps", "list-all").err.startswith("no applications")


def test_waiting_for_what_never_comes_ends_with_the_reason(deployed: Any, app_yaml: str) -> None:
    file = deployed.file("same.yaml", app_yaml)
    result = deployed("apps", "deploy-app", "--path", file, "--wait", "--timeout", "0")
    assert result.code == 8
    assert "1 of 2 components ready" in result.errors[0]


def test_waiting_follows_the_agents(deployed: Any, app_yaml: str) -> None:
    def agents(request: httpx.Request) -> None:
        if request.url.path.endswith("/status") and len(deployed.transport.requests) > 4:
            obj = deployed.store.objects["mlsysopsapps", "mlsysops", "shop"]
            components = [{"name": name, "phase": "Running", "ready": True} for name in ("web", "cart")]
            deployed.store.put(
                APPS, {**obj, "status": {"phase": "Running", "observedGeneration": 1, "components": components}}
            )

    deployed.transport.before = agents
    file = deployed.file("same.yaml", app_yaml)
    result = deployed("apps", "deploy-app", "--path", file, "--wait", "--timeout", "30")
    assert result.code == 0
    assert "shop is running" in result.err
    assert "Degraded, 1/2 components ready" in result.err


class TestEdit:
    """`mls apps edit`."""

    def editor(self, mls: Any, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
        path = mls.file("editor.sh", f"#!/bin/sh\n{script}\n")
        monkeypatch.setenv("EDITOR", f"sh {path}")
        monkeypatch.delenv("VISUAL", raising=False)

    def test_comments_survive(self, deployed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.editor(deployed, monkeypatch, "sed -i 's/web:1/web:2/' \"$1\"")
        result = deployed("apps", "edit", "shop")
        assert (result.code, result.out) == (0, "application/shop updated\n")
        source = httpx.URL("http://x/v1/apps/shop/source")
        assert source
        stored = deployed.store.objects["mlsysopsapps", "mlsysops", "shop"]
        text = stored["metadata"]["annotations"]["mlsysops.eu/description-source"]
        assert "# what the farm runs" in text
        assert "example.org/web:2   # pinned" in text
        assert stored["spec"]["components"][0]["containers"][0]["image"] == "example.org/web:2"

    def test_nothing_changed(self, deployed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.editor(deployed, monkeypatch, "true")
        result = deployed("apps", "edit", "shop")
        assert (result.code, result.out, result.err) == (0, "", "nothing was changed\n")

    def test_what_does_not_validate_is_kept(self, deployed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.editor(deployed, monkeypatch, "sed -i 's/image:/imgae:/' \"$1\"")
        result = deployed("apps", "edit", "shop")
        assert result.code == 3
        assert "your edit is kept in" in result.err

    def test_a_stored_text_that_is_out_of_date_is_brought_up_to_date(self, app_yaml: str) -> None:
        from mlsysops_core.model import load_descriptions, to_document

        from mlsysops_cli.actions.edit import edited_text

        document = to_document(load_descriptions(app_yaml.replace("web:1", "web:9"))[0])
        text = edited_text(app_yaml, document)
        assert "example.org/web:9   # pinned" in text
        assert to_document(load_descriptions(text)[0]) == document
        assert edited_text("", document).startswith("MLSysOpsApp:")
        assert edited_text("not: a description", document).startswith("MLSysOpsApp:")

    @pytest.fixture(autouse=True)
    def _temporary(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "edits").mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "edits"))

    @pytest.mark.parametrize(("script", "kept"), [("exit 1", 0), ("echo '#' >> $1; exit 1", 1)])
    def test_an_editor_that_fails_leaves_a_file_only_of_what_was_edited(
        self, deployed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, kept: int
    ) -> None:
        self.editor(deployed, monkeypatch, script)
        result = deployed("apps", "edit", "shop")
        assert result.code == 2
        assert ("your edit is kept in" in result.err) == bool(kept)
        assert len(list((tmp_path / "edits").iterdir())) == kept

    def test_no_editor(self, deployed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EDITOR", "/nonexistent/editor")
        monkeypatch.delenv("VISUAL", raising=False)
        assert deployed("apps", "edit", "shop").code == 2
