"""Inventories that are programs, or make a lot of little: what they say counts, and they come to an end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlsysops_core.errors import InvalidInput, TimedOut

from mlsysops_cli import reading
from mlsysops_cli.inventory import load_inventory


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "inventory.sh"
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    return write


def test_what_a_program_says_when_it_fails_is_told(program: Callable[[str], str]) -> None:
    with pytest.raises(InvalidInput, match=r"exit code 3: the cloud says no"):
        load_inventory(program("echo the cloud says no >&2; exit 3"))


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody has asked for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_of_a_program_without_an_end_nothing_is_left(
    program: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = tmp_path / "pid"
    path = program(f"echo $$ > {began}.new; mv {began}.new {began}; exec sleep 1000")
    wait = reading.subprocess.Popen.communicate

    def until_it_runs(child: object, timeout: float | None = None) -> object:
        while not began.is_file():  # not before: the program below it is what must not be left
            assert child.poll() is None  # type: ignore[attr-defined]
            time.sleep(0.01)
        return wait(child, timeout=0.01)

    monkeypatch.setattr(reading.subprocess.Popen, "communicate", until_it_runs)
    with pytest.raises(TimedOut, match="was not read within"):
        load_inventory(path)
    deadline = time.monotonic() + 60
    while alive(int(began.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_range_of_hosts_without_an_end_does_not_take_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_MEMORY", 384 * 1024**2)
    path = tmp_path / "inv.ini"
    path.write_text("[workers]\nworker[1:99999999]\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="more than 0 GiB of memory"):
        load_inventory(str(path))


def test_what_was_begun_and_is_not_wanted_ends(program: Callable[[str], str], tmp_path: Path) -> None:
    began = tmp_path / "pid"
    path = program(f"echo $$ > {began}.new; mv {began}.new {began}; exec sleep 1000")
    deadline = time.monotonic() + 60
    with reading.begin_reading(path):
        while not began.is_file():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    while alive(int(began.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_reading_begins_before_anything_heavy_is_imported() -> None:
    code = "import sys, mlsysops_cli.reading; print({'pydantic', 'jinja2', 'httpx', 'yaml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
