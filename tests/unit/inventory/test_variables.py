"""The table of inventory variables has those that are read, and no others."""

from __future__ import annotations

import re
from pathlib import Path

from mlsysops_cli.inventory.variables import VARIABLES

ROOT = Path(__file__).parents[3]
KNOWN = [name for rows in VARIABLES.values() for name, _, _ in rows]
_NAME = re.compile(r"\bmls_[a-z0-9_]+")


def names_in(*paths: Path) -> set[str]:
    """The words that look like variables of ours."""
    return {name for path in paths for name in _NAME.findall(path.read_text(encoding="utf-8"))}


def test_every_variable_that_is_read_is_in_the_table() -> None:
    readers = [path for path in (ROOT / "mlsysops_cli/inventory").glob("*.py") if path.name != "variables.py"]
    assert len(readers) > 5
    others = {"mls_apply"}  # a module of ours
    assert names_in(*readers) - set(KNOWN) - others == set()


def test_every_variable_of_the_table_is_used_once_in_it_and_somewhere_else() -> None:
    assert len(KNOWN) == len(set(KNOWN))
    folders = [*(ROOT / "mlsysops_cli").rglob("*.py"), *(ROOT / "roles").rglob("*.yml")]
    users = [path for path in [*folders, *(ROOT / "playbooks").glob("*.yml")] if path.name != "variables.py"]
    assert set(KNOWN) - names_in(*users) == set()


def test_every_variable_that_the_documentation_sets_is_in_the_table() -> None:
    pages = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "inventories").glob("*.yml")]
    said = {
        name
        for path in pages
        for name in re.findall(r"^[\s#-]*(mls_[a-z0-9_]+):", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(said) > 10
    assert said - set(KNOWN) == set()
