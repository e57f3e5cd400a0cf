"""A backup is one private file, whole or not there at all; a damaged or foreign one is refused before anything is done."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from mlsysops_core.errors import Conflict, InvalidInput, NotFound

from mlsysops_cli.slice import SliceState
from mlsysops_cli.slice.archive import read_backup, write_backup

STATE = SliceState(name="lab", hosts={"mgmt": "management/continuum", "server": "server/cluster1"})


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, Path]:
    made = {}
    for host in ("mgmt", "server"):
        made[f"{host}.tar.gz"] = tmp_path / host
        made[f"{host}.tar.gz"].write_bytes(os.urandom(3_000_000))
    return made


@pytest.fixture
def backup(tmp_path: Path, parts: dict[str, Path]) -> Path:
    path = tmp_path / "lab.tar"
    write_backup(path, STATE, parts, force=False)
    return path


def test_what_is_written_is_read_again(tmp_path: Path, backup: Path, parts: dict[str, Path]) -> None:
    assert backup.stat().st_mode & 0o777 == 0o600
    with read_backup(backup, tmp_path / "scratch") as found:
        assert (found.manifest.slice, found.manifest.engine) == ("lab", "embedded")
        assert found.manifest.hosts == STATE.hosts
        for name, part in parts.items():
            assert (found.directory / name).read_bytes() == part.read_bytes()
            assert (found.directory / name).stat().st_mode & 0o077 == 0
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_file_that_exists_is_replaced_only_when_asked(backup: Path, parts: dict[str, Path]) -> None:
    before = backup.read_bytes()
    with pytest.raises(Conflict, match="exists"):
        write_backup(backup, STATE, parts, force=False)
    assert backup.read_bytes() == before
    write_backup(backup, STATE, {"mgmt.tar.gz": parts["mgmt.tar.gz"]}, force=True)
    assert backup.stat().st_size < len(before)


def test_a_half_written_file_is_never_left(tmp_path: Path, parts: dict[str, Path]) -> None:
    (tmp_path / "target").mkdir()

    with pytest.raises(OSError, match="No space"):
        write_backup(tmp_path / "target" / "lab.tar", STATE, {"mgmt.tar.gz": _Late(parts["mgmt.tar.gz"])}, force=False)
    assert list((tmp_path / "target").iterdir()) == []


class _Late(type(Path())):  # type: ignore[misc]
    """A part that can be read for its checksum, and breaks when it is copied."""

    def open(self, *args: object, **more: object) -> object:
        if getattr(self, "_opened", False):
            raise OSError(28, "No space left on device")
        self._opened = True
        return super().open(*args, **more)


def damaged(backup: Path, how: str) -> bytes:
    data = bytearray(backup.read_bytes())
    if how == "truncated":
        return bytes(data[: len(data) // 2])
    if how == "a bit":
        data[len(data) // 2] ^= 1
        return bytes(data)
    if how == "empty":
        return b""
    return b"not a tar at all" * 100


@pytest.mark.parametrize("how", ["truncated", "a bit", "empty", "something else"])
def test_a_damaged_file_is_refused(tmp_path: Path, backup: Path, how: str) -> None:
    backup.write_bytes(damaged(backup, how))
    with pytest.raises(InvalidInput, match="not a whole backup"), read_backup(backup, tmp_path / "scratch"):
        pass
    assert list((tmp_path / "scratch").iterdir()) == []


def test_further_members_are_refused(tmp_path: Path, backup: Path) -> None:
    with tarfile.open(backup, "a") as archive:
        member = tarfile.TarInfo("../evil")
        archive.addfile(member, io.BytesIO(b""))
    with pytest.raises(InvalidInput, match="instead of"), read_backup(backup, tmp_path / "scratch"):
        pass


def test_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"), read_backup(tmp_path / "none", tmp_path / "scratch"):
        pass
