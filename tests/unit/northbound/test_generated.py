"""Generated files are current."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlsysops_northbound.export import generated_files


@pytest.mark.parametrize("name", ["templates/openapi.json", "docs/reference/api.md"])
def test_generated_files_are_current(repository: Path, name: str) -> None:
    written = (repository / name).read_text(encoding="utf-8")
    assert written == generated_files()[name], "run `python -m mlsysops_northbound.export .`"
