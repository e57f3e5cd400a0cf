"""Which files are generated, and whether they are up to date."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from mlsysops_core.model.export.crds import custom_resource_definition
from mlsysops_core.model.export.editor import editor_schema
from mlsysops_core.model.export.reference import reference_page
from mlsysops_core.model.kinds import KINDS

__all__ = ["check_files", "generated_files", "write_files"]

_HEADER = """---
# Generated from mlsysops_core.model by `python -m mlsysops_core.model.export`; edits here are lost.
# yamllint disable rule:line-length
"""


class _Dumper(yaml.SafeDumper):
    """Never writes anchors, and indents lists below their key."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def generated_files(templates: Path, reference: Path) -> dict[Path, str]:
    """Makes every generated file: path -> text."""
    files: dict[Path, str] = {}
    for kind in KINDS.values():
        text = yaml.dump(
            custom_resource_definition(kind), Dumper=_Dumper, sort_keys=False, width=88, allow_unicode=True
        )
        files[templates / "crds" / f"{kind.plural}.yaml"] = _HEADER + text
        files[templates / "schemas" / f"{kind.kind}.json"] = json.dumps(editor_schema(kind), indent=2) + "\n"
    files[reference] = reference_page()
    return files


def check_files(templates: Path, reference: Path) -> list[Path]:
    """Lists generated files that are missing or differ from what the models say now."""
    wanted = generated_files(templates, reference)
    return [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]


def write_files(templates: Path, reference: Path) -> list[Path]:
    """Writes the generated files that differ, and returns their paths."""
    changed = check_files(templates, reference)
    wanted = generated_files(templates, reference)
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
    return changed
