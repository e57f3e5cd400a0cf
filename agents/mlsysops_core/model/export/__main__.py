"""Command line of the generator: ``python -m mlsysops_core.model.export --templates-dir templates [--check]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mlsysops_core.model.export.files import check_files, write_files

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Writes or checks the generated files; returns the exit code (1: ``--check`` found a difference)."""
    parser = argparse.ArgumentParser(prog="python -m mlsysops_core.model.export", description=__doc__)
    parser.add_argument("--templates-dir", type=Path, required=True, help="gets crds/*.yaml and schemas/*.json")
    parser.add_argument(
        "--reference",
        type=Path,
        help="the reference page; default: docs/reference/descriptions.md beside the templates",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file differs")
    options = parser.parse_args(arguments)
    templates: Path = options.templates_dir.resolve()
    reference: Path = options.reference or templates.parent / "docs" / "reference" / "descriptions.md"
    changed = check_files(templates, reference) if options.check else write_files(templates, reference)
    for path in changed:
        sys.stdout.write(f"{path}\n")
    return 1 if options.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
