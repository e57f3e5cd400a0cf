"""How many hosts a run works on at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlsysops_cli.runner.run import PlaybookRun, _forks


@pytest.mark.parametrize(("environment", "local", "hosts"), [
    ("", True, 10), ("", False, 50), ("7", True, 7), ("200", False, 200), ("0", False, 50), ("many", False, 50),
])  # fmt: skip
def test_hosts_at_a_time(monkeypatch: pytest.MonkeyPatch, environment: str, local: bool, hosts: int) -> None:
    monkeypatch.setenv("ANSIBLE_FORKS", environment)
    assert _forks(PlaybookRun(Path("site.yml"), [], Path(), Path(), local_only=local)) == hosts
