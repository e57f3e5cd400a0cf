"""Commands that mostly tell a person something have an answer for programs, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlsysops_cli.actions.framework import show
from mlsysops_cli.render.diff import TreeDiff
from mlsysops_cli.settings import Settings
from mlsysops_cli.testbed import bed


def test_render_names_its_files(mls: Any, repository: Path, tmp_path: Path) -> None:
    words = ("framework", "render", "-i", str(repository / "inventories/local.yml"), "--output-dir", str(tmp_path))
    document = json.loads(mls(*words, "-o", "json").out)
    assert (document["slice"], document["directory"]) == ("local", str(tmp_path))
    assert all((tmp_path / name).is_file() for name in document["files"])
    assert document["files"]
    assert set(document["files"]) <= set(document["changed"])
    assert json.loads(mls(*words, "-o", "json").out)["changed"] == []
    assert mls(*words).out == ""


@pytest.mark.parametrize(("output", "expected"), [
    ("json", {"slice": "lab", "differs": True, "changed": ["a.yaml"], "diff": "--- a\n"}),
    ("table", "--- a\n"),
    ("name", "a.yaml\n"),
])  # fmt: skip
def test_diff_names_what_differs(capsys: pytest.CaptureFixture[str], output: str, expected: Any) -> None:
    assert show.tell_difference(Settings(output=output), "lab", TreeDiff(["a.yaml"], "--- a\n"))
    said = capsys.readouterr().out
    assert (json.loads(said) if output == "json" else said) == expected


def test_commands_of_the_testbed_and_of_contexts(mls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bed, "down", lambda *_, **__: True)
    monkeypatch.setattr(bed, "fault", lambda *_: "done")
    assert json.loads(mls("testbed", "down", "-o", "json").out) == {"removed": True}
    assert json.loads(mls("testbed", "ctl", "cut", "edge", "-o", "json").out) == {"action": "cut", "hosts": ["edge"]}
    assert mls("testbed", "ctl", "cut", "edge").out == ""
