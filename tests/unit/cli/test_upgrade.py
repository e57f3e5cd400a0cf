"""What an upgrade tells: a line for each host that was not well, what that means for the others, and what a check found."""

from __future__ import annotations

import json

import pytest

from mlsysops_cli.actions.framework.change import report_failure
from mlsysops_cli.actions.framework.upgrade import outcome, stopped
from mlsysops_cli.errors_render import error_lines
from mlsysops_cli.runner import Failure, RunResult
from mlsysops_cli.settings import Settings
from mlsysops_cli.slice import SliceState


def broken() -> RunResult:
    """Two hosts of one batch that were not well, the first of which says so twice."""
    result = RunResult(log="/logs/upgrade.log")
    for host in ("mgmt", "server"):
        result.host(host).failed = 1
        result.failures.append(Failure(host, "Wait until it is well", "its node is not ready", "timed-out"))
    result.failures.append(Failure("mgmt", "Stop the upgrade", "the old version runs again"))
    return result


def test_each_host_has_a_line_and_the_last_one_says_who_was_left_alone() -> None:
    state = SliceState(name="lab", hosts={"mgmt": "management/c", "server": "server/c1", "worker": "worker/c1"})
    error = stopped(state, broken())
    assert error is not None
    lines, code = error_lines(error)
    assert code == 9
    assert lines == [
        "error: mgmt: Wait until it is well: its node is not ready; Stop the upgrade: the old version runs again",
        "error: server: Wait until it is well: its node is not ready",
        "error: the upgrade stopped at mgmt, server; left alone: worker (mend it and run it again; full log: /logs/upgrade.log)",
    ]


def test_a_program_is_told_the_failures(capsys: pytest.CaptureFixture[str]) -> None:
    report_failure(Settings(), "lab", broken())
    assert capsys.readouterr().out == ""  # a person has the error's lines
    report_failure(Settings(output="json"), "lab", broken())
    document = json.loads(capsys.readouterr().out)
    assert [failure["host"] for failure in document["failures"]] == ["mgmt", "server", "mgmt"]
    assert document["hosts"]["server"]["failed"] == 1


@pytest.mark.parametrize(("before", "changes", "check", "expected"), [
    ("1.0", 0, True, "slice lab has version 1.0 already: nothing would change"),
    ("1.0", 0, False, "slice lab has version 1.0 already: nothing changed"),
    ("1.0", 1, True, "slice lab would be brought to what version 1.0 wants: 1 change"),
    ("0.9", 4, True, "slice lab would be upgraded from 0.9 to 1.0: 4 changes"),
    ("0.9", 0, False, "slice lab is upgraded from 0.9 to 1.0: 0 changes"),
])  # fmt: skip
def test_what_an_upgrade_comes_to(before: str, changes: int, check: bool, expected: str) -> None:
    assert outcome("lab", before, "1.0", changes, check=check) == expected
