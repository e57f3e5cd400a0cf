"""Generated files are current."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlsysops_cli.main import GROUPS
from mlsysops_cli.reference import generated_files


@pytest.mark.parametrize("page", ["docs/reference/cli.md", "docs/reference/inventory.md"])
def test_the_reference_is_current(repository: Path, page: str) -> None:
    written = (repository / page).read_text(encoding="utf-8")
    assert written == generated_files()[page], "run `python -m mlsysops_cli.reference .`"


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_is_in_the_reference(repository: Path, group: str) -> None:
    assert f"\n## mls {group}\n" in (repository / "docs/reference/cli.md").read_text(encoding="utf-8")
