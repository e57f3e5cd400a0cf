"""Measures the published figures: run.py [--output FILE] [NAME …]

Every module `bench_<subject>.py` beside this file has a function ``figures() -> Iterable[Figure]``. A NAME
selects the subjects whose name contains it. The exit code is 0 whatever the figures are: machines are
noisy, and no test may depend on how busy one is.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import traceback
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from figure import Figure  # noqa: E402 - found beside this script


def measure(subject: str) -> list[Figure]:
    """Run one subject; one that breaks keeps what it has measured and does not stop the others."""
    rows: list[Figure] = []
    try:
        for row in importlib.import_module(f"bench_{subject}").figures():
            print(f"{row.name}: {row.value}", file=sys.stderr, flush=True)
            rows.append(row)
    except Exception as error:  # noqa: BLE001 - the border that keeps one subject from ending the run
        traceback.print_exc()
        rows.append(Figure(subject, None, "", 0.0, note=f"{type(error).__name__}: {error}"))
    return rows


def table(rows: list[Figure]) -> str:
    """The figures as aligned text."""
    head = ("figure", "value", "unit", "bar", "ok", "note")
    lines = [head]
    for row in rows:
        value = "-" if row.value is None else f"{row.value:.3g}" if row.value < 1000 else f"{row.value:.0f}"
        sign = "<=" if row.better == "lower" else ">="
        lines.append((row.name, value, row.unit, f"{sign} {row.bar:g}", "yes" if row.ok else "NO", row.note))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def main() -> None:
    """Parse the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description="Measure the published figures.")
    parser.add_argument("--output", type=Path, help="where to write the figures as JSON")
    parser.add_argument("names", nargs="*", help="subjects to measure (all by default)")
    arguments = parser.parse_args()
    subjects = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    chosen = [s for s in subjects if not arguments.names or any(name in s for name in arguments.names)]
    if not chosen:
        parser.exit(2, f"no such figure; there are: {', '.join(subjects)}\n")
    rows: list[Figure] = []
    for subject in chosen:
        print(f"measuring {subject} …", file=sys.stderr, flush=True)
        rows += measure(subject)
    print(table(rows))
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps([row.row() for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
