"""Progress goes to stderr, a line a task and host, with the time; nothing in quiet mode."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mlsysops_cli.runner import PlainProgress, RichProgress, RunResult, SilentProgress, choose_progress


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {"event": kind, "event_data": {"host": "h1", "task": "T", "play": "P", "duration": 1.25, **data}}


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainProgress("deploy") as progress:
        progress.event(event("runner_on_ok", res={"changed": True}))
        progress.event(event("runner_on_failed", res={"msg": "x"}))
        progress.event(event("runner_on_skipped"))
        progress.event(event("runner_on_ok", task="Validating arguments against arg spec 'main'"))
        progress.event(event("runner_on_ok", task_action="ansible.builtin.include_role"))
    result = RunResult()
    result.host("h1").changed = 3
    progress.summary(result)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert re.fullmatch(r"\[ +\d+\.\d s\] deploy", lines[0])
    assert lines[1].endswith("changed     h1: P: T (1.2 s)")
    assert lines[2].endswith("failed      h1: P: T (1.2 s)")
    assert "host  changed  failed  seconds" in lines[3]
    assert "h1          3       0" in lines[4]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with choose_progress("deploy", quiet=True) as progress:
        progress.event(event("runner_on_ok", res={}))
    progress.summary(RunResult())
    assert isinstance(progress, SilentProgress)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    with RichProgress("deploy") as progress:
        progress.event({"event": "playbook_on_play_start", "event_data": {"name": "Agents"}})
        progress.event(event("runner_on_start"))
        progress.event(event("runner_on_ok", res={"changed": True}))
    result = RunResult()
    result.host("h1").changed = 3
    progress.summary(result)
    out, err = capsys.readouterr()
    assert out == ""
    assert "h1" in err
