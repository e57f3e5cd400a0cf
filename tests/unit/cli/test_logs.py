"""`mls framework logs` on this machine: one story of several files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlsysops_cli.slice import SliceState, slice_directory


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", os.fspath(tmp_path / "data"))
    SliceState(name="demo").save()
    directory = slice_directory("demo") / "logs"
    directory.mkdir()
    (directory / "a-agent.log").write_text(
        "2026-01-01 00:00:01,000 INFO first\n2026-01-01 00:00:04,000 ERROR fourth\nTraceback:\n  why\n"
    )
    (directory / "b-kubelet.log").write_text(
        "2026-01-01 00:00:02,500 INFO second\n2026-01-01 00:00:02,500 INFO third\n2026-01-01 00:00:05,000 INFO last\n"
    )
    return directory


def test_lines_of_all_processes_come_in_the_order_of_time_and_tracebacks_stay_whole(mls: Any, logs: Path) -> None:
    result = mls("framework", "logs", "--slice", "demo")
    assert [line.rpartition(" ")[2] for line in result.out.splitlines()] == [
        "first", "second", "third", "fourth", "Traceback:", "why", "last",
    ]  # fmt: skip
    assert result.out.startswith("[a-agent] 2026-01-01 00:00:01,000 INFO first\n[b-kubelet] ")


def test_the_last_lines_are_those_of_each_process(mls: Any, logs: Path) -> None:
    assert mls("framework", "logs", "--slice", "demo", "--tail", "1").out == (
        "[a-agent]   why\n[b-kubelet] 2026-01-01 00:00:05,000 INFO last\n"
    )
    assert mls("framework", "logs", "b-kubelet", "--slice", "demo", "--tail", "1").out == (
        "2026-01-01 00:00:05,000 INFO last\n"
    )


def test_a_program_gets_a_document_a_line(mls: Any, logs: Path) -> None:
    lines = mls("framework", "logs", "--slice", "demo", "--tail", "1", "-o", "json").out.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"process": "a-agent", "line": "  why"},
        {"process": "b-kubelet", "line": "2026-01-01 00:00:05,000 INFO last"},
    ]
    documents = mls("framework", "logs", "--slice", "demo", "--tail", "1", "-o", "yaml").out
    assert [document["process"] for document in yaml.safe_load_all(documents)] == ["a-agent", "b-kubelet"]


def test_what_a_process_logs_does_not_steer_the_terminal(mls: Any, logs: Path) -> None:
    (logs / "c-agent.log").write_text("2026-01-01 00:00:06,000 INFO \x1b]0;title\x07 done\n")
    out = mls("framework", "logs", "c-agent", "--slice", "demo").out
    assert "\x1b" not in out
    assert out.endswith("done\n")
