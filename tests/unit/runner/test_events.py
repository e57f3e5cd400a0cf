"""What a run was, and which error it is."""

from __future__ import annotations

from typing import Any

import pytest
from mlsysops_core.errors import Conflict, InvalidInput, MlsError, NotFound, PartialFailure, TimedOut, Unreachable

from mlsysops_cli.errors_render import error_lines
from mlsysops_cli.runner import RunResult


def event(kind: str, host: str, *, task: str = "Run it", seconds: float = 0.5, **result: Any) -> dict[str, Any]:
    return {"event": kind, "event_data": {"host": host, "task": task, "play": "P", "duration": seconds, "res": result}}


def run(*events: dict[str, Any], returncode: int = 0) -> RunResult:
    result = RunResult(returncode=returncode, log="/log")
    for one in events:
        result.record(one)
    return result


def test_hosts_are_counted() -> None:
    result = run(
        {"event": "playbook_on_task_start", "event_data": {"task": "Run it"}},
        event("runner_on_ok", "a", changed=True),
        event("runner_on_ok", "a", seconds=2),
        event("runner_on_skipped", "b", task="Validating arguments against arg spec 'main'", seconds=3),
    )
    assert (result.hosts["a"].ok, result.hosts["a"].changed, result.hosts["a"].seconds) == (2, 1, 2.5)
    assert result.hosts["b"].skipped == 1
    assert result.slowest == ("Run it (a)", 2)
    assert (result.tasks, result.changed) == (1, 1)
    assert result.error() is None


@pytest.mark.parametrize(
    ("events", "kind", "text"),
    [
        ([event("runner_on_failed", "a", msg="port 1 is taken", mls_error="conflict")], Conflict, "a: Run it: port 1"),
        ([event("runner_on_failed", "a", msg="late", mls_error="timed-out")], TimedOut, "late"),
        ([event("runner_on_unreachable", "a", msg="no route")], Unreachable, "no route"),
        ([event("runner_on_failed", "a", msg="boom")], PartialFailure, "1 of 1 hosts failed: a: Run it: boom"),
        (
            [
                event("runner_on_failed", "a", msg="x", mls_error="conflict"),
                event("runner_on_unreachable", "b", msg="y"),
            ],
            PartialFailure,
            "2 of 2 hosts failed",
        ),
        (
            [
                event("runner_on_ok", "b", changed=True),
                event("runner_on_failed", "a", msg="x", mls_error="invalid-input"),
            ],
            PartialFailure,
            "1 of 2",
        ),
        ([event("runner_on_failed", "a", msg="x", mls_error="invalid-input")], InvalidInput, "x"),
        (
            [event("runner_on_ok", "b", changed=True), event("runner_on_unreachable", "a", msg="y")],
            PartialFailure,
            "1 of 2",
        ),
        (
            [event("runner_on_ok", "b", changed=True), event("runner_on_failed", "a", msg="x", mls_error="timed-out")],
            TimedOut,
            "x",
        ),
    ],
)
def test_families_of_failures(events: list[dict[str, Any]], kind: type[MlsError], text: str) -> None:
    error = run(*events, returncode=2).error()
    assert type(error) is kind
    assert text in str(error)
    assert "\n" not in str(error)
    assert "/log" in str(error)


def test_failures_that_a_playbook_ignores_to_get_on_count() -> None:
    failed = event("runner_on_failed", "a", msg="x")
    failed["event_data"]["ignore_errors"] = True
    assert "a: Run it: x" in str(run(failed).error())


def test_every_host_that_failed_has_a_line() -> None:
    failed = [event("runner_on_failed", f"h{number}", msg=f"port {number} is taken") for number in range(12)]
    result = run(*failed, event("runner_on_failed", "h3", task="Stop it", msg="no"), event("runner_on_ok", "good"))
    error = result.error()
    assert error is not None
    lines, code = error_lines(error)
    assert lines[0] == "error: h0: Run it: port 0 is taken"
    assert lines[3] == "error: h3: Run it: port 3 is taken; Stop it: no"
    assert lines[12] == "error: 12 of 13 hosts failed (full log: /log)"
    assert (len(lines), code) == (13, 9)


def test_hosts_with_one_fault_have_its_family_and_a_line_each() -> None:
    failed = [event("runner_on_unreachable", host, msg="no route") for host in ("a", "b")]
    error = run(*failed).error()
    assert isinstance(error, Unreachable)
    assert [line.split(":")[1] for line in error_lines(error)[0]] == [" a", " b", " 2 of 2 hosts failed (full log"]


def test_failures_are_data_too() -> None:
    (failure,) = run(event("runner_on_unreachable", "a", msg="ssh: connect: Connection refused")).failures
    document = failure.document()
    assert (document["host"], document["task"], document["reason"]) == ("a", "Run it", "unreachable")
    assert "switched on" in document["fix"]


def test_a_run_that_never_began_says_why() -> None:
    result = run({"event": "verbose", "stdout": "[ERROR]: couldn't parse\nthe playbook"}, returncode=4)
    assert "couldn't parse the playbook" in str(result.error())


def test_changes_whose_results_are_hidden_count() -> None:
    hidden = event("runner_on_ok", "a", censored="the output has been hidden")
    stats = {"event": "playbook_on_stats", "event_data": {"changed": {"a": 2}, "ok": {"a": 2, "b": 1}}}
    share = run(event("runner_on_ok", "a", changed=True), hidden, event("runner_on_ok", "b"), stats).hosts["a"]
    assert (share.changed, share.changes) == (2, ["Run it", "a task that hides its result"])


def test_hidden_results_stay_hidden() -> None:
    error = run(
        event("runner_on_failed", "a", censored="the output has been hidden", msg="hunter2"), returncode=2
    ).error()
    assert "hunter2" not in str(error)


def test_a_loop_tells_its_first_failure() -> None:
    items = [{"failed": False}, {"failed": True, "msg": "item 2", "mls_error": "timed-out"}]
    error = run(event("runner_on_failed", "a", msg="One or more items failed", results=items)).error()
    assert isinstance(error, TimedOut)
    assert "item 2" in str(error)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (
            {"msg": "non-zero return code", "cmd": ["a", "-b"], "stderr": "Traceback\n  x\nKeyError: 'c'"},
            "a -b: KeyError: 'c'",
        ),
        (
            {"msg": "Error executing command.", "cmd": "/venv/bin/python -m a", "stderr": ""},
            "python -m a: it cannot be run",
        ),
    ],
)
def test_a_program_that_fails_is_named_and_says_why(result: dict[str, Any], text: str) -> None:
    (failure,) = run(event("runner_on_failed", "a", **result)).failures
    assert failure.message.endswith(text)


def test_facts_are_kept() -> None:
    assert run(event("runner_on_ok", "a", ansible_facts={"mls_hardware": {"os": "debian"}})).facts == {
        "a": {"os": "debian"}
    }


def test_warnings_of_hosts_are_kept_and_fail_nothing() -> None:
    finding = {"check": "kernel", "found": "no memory group", "fix": "add one", "level": "warning"}
    result = run(event("runner_on_ok", "a", ansible_facts={"mls_preflight": {"findings": [finding], "summary": "s"}}))
    assert result.warnings == ["a: no memory group: add one"]
    assert result.checks["a"]["summary"] == "s"
    assert result.error() is None


def test_a_limit_that_names_nobody_is_no_fault_of_ours() -> None:
    result = run(returncode=1)
    result.said.append("[ERROR]: Specified inventory, host pattern and/or --limit leaves us with no hosts to target.")
    error = result.error()
    assert isinstance(error, NotFound)
    assert "--limit" in str(error)


def test_nobody_is_sent_to_a_log_that_goes_with_the_run() -> None:
    for kept in (True, False):
        result = run(event("runner_on_failed", "a", msg="no room"))
        result.log_stays = kept
        assert ("/log" in str(result.error())) is kept
