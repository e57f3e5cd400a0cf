"""Private files are replaced in one step, or stay as they are."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mlsysops_cli.files import replace_private, write_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_text_replaces_what_was_there_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "context.json"
    write_private(path, "one\n")
    path.chmod(0o644)
    write_private(path, "zwölf\n")
    assert path.read_text(encoding="utf-8") == "zwölf\n"
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert list(path.parent.iterdir()) == [path]


def _interrupted(path: Path) -> None:
    with replace_private(path) as stream:
        stream.write(b"half of the nex")
        raise KeyboardInterrupt


def test_a_file_stays_as_it_was_where_its_successor_is_not_finished(tmp_path: Path) -> None:
    path = tmp_path / "backup.tar"
    write_private(path, "the last one")
    with pytest.raises(KeyboardInterrupt):
        _interrupted(path)
    assert path.read_text() == "the last one"
    assert list(tmp_path.iterdir()) == [path]
