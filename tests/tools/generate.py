"""Writes the generated files of the API and the command line again (`make generate`); tests tell when they are stale."""

from __future__ import annotations

from pathlib import Path

from mlsysops_northbound.export import generated_files as api

from mlsysops_cli.reference import generated_files as command_line

ROOT = Path(__file__).parents[2]


def main() -> None:
    for name, text in {**api(), **command_line()}.items():
        path = ROOT / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
