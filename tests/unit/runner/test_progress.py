"""Progress goes to stderr, a line a task and host, with the time; nothing in quiet mode."""

from __future__ import annotations

import re
from typing import Any

import pytest
from rich.console import Console

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


def screen(progress: RichProgress, height: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines that a terminal of this height shows."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", str(height))
    console = Console(width=80, height=height, no_color=True)
    monkeypatch.setattr(progress, "_console", console)
    with console.capture() as capture:
        console.print(progress._table())
    return [line.strip() for line in capture.get().splitlines()]


def test_a_task_that_was_skipped_does_not_go_on_running(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = RichProgress("deploy")
    for kind, task in (("runner_on_start", "First"), ("runner_on_ok", "First"), ("runner_on_start", "Not here")):
        progress.event(event(kind, task=task, res={}))
    assert any("Not here" in line for line in screen(progress, 24, monkeypatch))
    progress.event(event("runner_on_skipped", task="Not here"))
    lines = screen(progress, 24, monkeypatch)
    assert any(line.split()[:4] == ["h1", "1", "First", "ok"] for line in lines), lines
    assert not any("running" in line for line in lines)


def test_of_many_hosts_a_small_terminal_shows_those_that_work_or_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = RichProgress("deploy")
    for number in range(1000):
        progress.event(event("runner_on_start", host=f"h{number}"))
        progress.event(event("runner_on_ok", host=f"h{number}", res={}))
    progress.event(event("runner_on_failed", host="h998", res={}))
    progress.event(event("runner_on_start", host="h999", task="Long"))
    lines = screen(progress, 24, monkeypatch)
    assert len(lines) < 24
    assert any(line.startswith("h998 ") and line.endswith("failed") for line in lines), lines
    assert any(line.startswith("h999 ") and "running" in line for line in lines), lines
    assert "and 980 more hosts" in lines


def test_a_terminal_that_cannot_be_written_over_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(choose_progress("deploy"), RichProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(choose_progress("deploy"), PlainProgress)
