"""How fast the command line answers, against a Typer app of two commands in the same interpreter."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from figure import Figure

ROUNDS = 21
HEAVY = ("pydantic", "kubernetes", "ansible", "httpx", "jinja2")
TWO_COMMANDS = """
import typer

app = typer.Typer()

@app.command()
def one(name: str) -> None:
    "First command."

@app.command()
def two(name: str) -> None:
    "Second command."

app()
"""


def seconds(argv: list[str]) -> float:
    """Wall time of one run, which has to succeed."""
    start = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "COLUMNS": "100"})
    return time.perf_counter() - start


def heavy_imports(arguments: list[str]) -> list[str]:
    """Which of the packages that a help page must not import, it imports."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mlsysops_cli", *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    modules = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in run.stderr.splitlines() if "|" in line}
    return sorted(modules.intersection(HEAVY))


def figures() -> Iterator[Figure]:
    """Ratios of medians; the two programs take turns, so that noise hits both."""
    mls = str(Path(sys.executable).with_name("mls"))
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory, "two_commands.py")
        script.write_text(TWO_COMMANDS)
        baseline = [sys.executable, str(script), "--help"]
        for name, arguments in (("cli_help_ratio", ["--help"]), ("cli_apps_help_ratio", ["apps", "--help"])):
            ours, theirs = [], []
            for _ in range(ROUNDS):
                theirs.append(seconds(baseline))
                ours.append(seconds([mls, *arguments]))
            yield Figure(
                name,
                statistics.median(ours) / statistics.median(theirs),
                "",
                1.25,
                note=f"{statistics.median(ours) * 1000:.0f} ms",
            )
            imported = heavy_imports(arguments)
            yield Figure(name.replace("ratio", "heavy_imports"), len(imported), "packages", 0, note=", ".join(imported))
