"""What `mls framework preflight` makes of a run: a row a finding, each with a way out."""

from __future__ import annotations

from typing import Any

from mlsysops_cli.actions.framework.preflight import _rows
from mlsysops_cli.runner import Failure, RunResult


def finding(level: str, found: str) -> dict[str, Any]:
    return {"check": "x", "found": found, "fix": f"mend {found}", "level": level}


def test_faults_come_first_and_every_row_has_a_way_out() -> None:
    result = RunResult(
        checks={
            "a": {"findings": [], "summary": "Debian"},
            "b": {"findings": [finding("warning", "w"), finding("fault", "f")], "summary": "Debian"},
        },
        failures=[
            Failure("b", "Check the host", "f", "conflict"),
            Failure("c", "Look at the host", "no route", "unreachable", "switch it on"),
            Failure("d", "Look at the host", "what is this"),
        ],
    )
    rows = list(_rows(["a", "b", "c", "d", "e"], result, "inv.yml"))
    assert [(row["host"], row["check"], row["state"], row["found"]) for row in rows] == [
        ("a", "all", "ok", "Debian"),
        ("b", "x", "fail", "f"),
        ("b", "x", "warning", "w"),
        ("c", "unreachable", "fail", "no route"),
        ("d", "ansible", "fail", "what is this"),
    ]
    assert all(row["fix"] for row in rows if row["state"] != "ok")
