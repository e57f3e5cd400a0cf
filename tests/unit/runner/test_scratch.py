"""What a killed run left is removed by the next one; what belongs to one that goes on stays."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from mlsysops_cli.runner.scratch import make_scratch


def test_only_leftovers_of_the_dead_go(tmp_path: Path) -> None:
    over = subprocess.Popen(["true"])
    over.wait()
    dead, alive, other = (tmp_path / name for name in (f"run-{over.pid}-x", "run-1-x", f"else-{over.pid}-x"))
    for path in (dead, alive, other):
        path.mkdir()
        (path / "file").touch()
    made = make_scratch(tmp_path, "run")
    assert not dead.exists()
    assert alive.exists()
    assert other.exists()
    assert made.name.startswith(f"run-{os.getpid()}-")
    assert made.stat().st_mode & 0o777 == 0o700
    assert make_scratch(tmp_path, "run") != made
