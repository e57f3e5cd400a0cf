"""Ansible's programs are found beside this interpreter first, and only scripts of it are run with our garbage collection."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pytest
from mlsysops_core.errors import UsageError

from mlsysops_cli import ansible_programs
from mlsysops_cli.ansible_programs import COLLECT_AFTER, ansible_command, ansible_program

NAME = "ansible-something"


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of a program beside an interpreter that has none yet; nor has PATH."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin/python3"))
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    return tmp_path / "bin" / NAME


def program(path: Path, text: str) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    "first_lines",
    ["#!/some/where/bin/python3.11\n", "#!/bin/sh\n'''exec' \"/a long/path/python3\" \"$0\" \"$@\"\n' '''\n"],
)
def test_a_script_of_this_interpreter_is_run_by_it(beside: Path, first_lines: str) -> None:
    path = program(beside, f"{first_lines}print('hello')\n")
    assert ansible_command(NAME) == [sys.executable, "-P", ansible_programs.__file__, path]


def test_what_is_no_script_or_of_another_interpreter_runs_as_it_is(beside: Path, tmp_path: Path) -> None:
    # As some distributions wrap programs: a shell's script, whatever it starts.
    path = program(beside, '#!/bin/sh\nexec /usr/bin/python3 -I /usr/lib/ansible "$@"\n')
    assert ansible_command(NAME) == [path]
    beside.unlink()
    elsewhere = program(tmp_path / "elsewhere" / NAME, "#!/usr/bin/python3\n")
    assert ansible_command(NAME) == [elsewhere]


def test_one_that_is_nowhere_says_how_to_get_it(beside: Path) -> None:
    with pytest.raises(UsageError, match="ansible-something is not installed") as caught:
        ansible_program(NAME)
    assert caught.value.hint == "pip install 'mlsysops-cli[deploy]'"


def test_a_program_is_run_as_if_it_had_been_started_itself(
    beside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = program(beside, "import gc, sys\nprint(__name__, sys.argv[1:], gc.get_threshold())\nsys.exit(3)\n")
    monkeypatch.setattr(sys, "argv", [ansible_programs.__file__, path, "--list"])
    forked: list[object] = []
    monkeypatch.setattr(os, "register_at_fork", lambda **hooks: forked.append(hooks["after_in_child"]))
    before = gc.get_threshold()
    try:
        with pytest.raises(SystemExit) as ended:
            ansible_programs.main()
    finally:
        gc.set_threshold(*before)
    assert ended.value.code == 3
    assert capsys.readouterr().out.strip() == f"__main__ ['--list'] {COLLECT_AFTER}"
    assert forked == [gc.freeze]
