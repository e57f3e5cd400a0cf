"""A password that is asked for is told to Ansible's programs, and no file holds it."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest

from mlsysops_cli import passwords

SECRET = "correct horse"


@pytest.mark.parametrize(
    ("ask", "variable"),
    [
        (passwords.ask_vault_password, "ANSIBLE_VAULT_PASSWORD_FILE"),
        (passwords.ask_become_password, "ANSIBLE_BECOME_PASSWORD_FILE"),
    ],
)
def test_only_a_child_of_ours_learns_it(ask, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "")
    monkeypatch.setattr("sys.stdin", io.StringIO(SECRET + "\n"))
    ask()
    program = Path(os.environ[variable])
    assert program.stat().st_mode & 0o077 == 0
    assert SECRET not in program.read_text()
    assert SECRET not in "".join(os.environ.values())
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == SECRET + "\n"
