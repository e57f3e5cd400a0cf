"""Stores that are damaged or gone, and copies that take their place."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from mlsysops_embedded.store import Store
from mlsysops_embedded.store import backup as backups
from mlsysops_embedded.store.backup import backup, restore


def encoder(value: str):  # type: ignore[no-untyped-def]
    return lambda rv: orjson.dumps({"metadata": {"resourceVersion": str(rv)}, "value": value})


async def written(path: Path, count: int = 1) -> int:
    """Writes objects into a store; returns the newest revision."""
    store = Store(path)
    store.start(asyncio.get_running_loop())
    for number in range(count):
        await store.put("b", ("n", f"x{number}"), encoder("v" * 200))
    newest = store.rv
    store.close()
    return newest


def values(path: Path) -> list[str]:
    store = Store(path)
    found = [entry.parse()["value"] for entry in store.bucket("b").objects.values()]
    store.close()
    return found


def left_over(directory: Path) -> list[str]:
    """Files of a copy that was not finished."""
    return [path.name for path in directory.iterdir() if path.name.startswith(".")]


def garbled(path: Path) -> None:
    path.write_bytes(b"this is no database, whatever its name says\n" * 500)


def torn(path: Path) -> None:
    """Pages in the middle are lost, the head is whole."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    for start in range(4096, len(data), 4096):
        data[start : start + 4096] = b"\xff" * 4096
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [garbled, torn])
async def test_a_damaged_store_names_the_way_out(tmp_path: Path, damage: Any) -> None:
    await written(tmp_path / "s", 100)
    damage(tmp_path / "s")
    with pytest.raises(OSError, match=r"damaged .*`restore`"):
        Store(tmp_path / "s")


@pytest.mark.parametrize("damage", [garbled, torn, lambda path: path.write_bytes(b""), Path.unlink])
async def test_a_copy_takes_the_place_of_whatever_is_there(tmp_path: Path, damage: Any) -> None:
    await written(tmp_path / "s", 100)
    backup(tmp_path / "s", tmp_path / "copy")
    damage(tmp_path / "s")
    restore(tmp_path / "s", tmp_path / "copy")
    assert len(values(tmp_path / "s")) == 100


@pytest.mark.parametrize("damage", [garbled, torn, lambda path: path.write_bytes(b"")])
async def test_a_damaged_copy_is_blamed_and_changes_nothing(tmp_path: Path, damage: Any) -> None:
    await written(tmp_path / "s", 100)
    backup(tmp_path / "s", tmp_path / "copy")
    damage(tmp_path / "copy")
    with pytest.raises(OSError, match="copy: "):
        restore(tmp_path / "s", tmp_path / "copy")
    assert len(values(tmp_path / "s")) == 100
    assert not left_over(tmp_path)


async def test_a_bare_host_repeats_no_revision_however_old_the_copy(tmp_path: Path) -> None:
    await written(tmp_path / "s")
    backup(tmp_path / "s", tmp_path / "copy")
    with closing(sqlite3.connect(tmp_path / "s")) as connection, connection:
        connection.execute("UPDATE revisions SET rv = rv + 50000000")
    newest = await written(tmp_path / "s")
    restore(tmp_path / "elsewhere", tmp_path / "copy")
    assert await written(tmp_path / "elsewhere") > newest


async def test_a_copy_can_be_put_back_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time a later one begins, also where the first one is lost again."""
    await written(tmp_path / "s")
    backup(tmp_path / "s", tmp_path / "copy")
    monkeypatch.setattr(backups.time, "time", lambda: 2e9)
    restore(tmp_path / "first", tmp_path / "copy")
    newest = await written(tmp_path / "first", 50)
    monkeypatch.setattr(backups.time, "time", lambda: 2e9 + 1)
    restore(tmp_path / "second", tmp_path / "copy")
    assert await written(tmp_path / "second") > newest
    assert newest < 2**53  # what a JSON number holds


async def test_a_clock_that_is_wrong_takes_nothing_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = await written(tmp_path / "s", 5)
    backup(tmp_path / "s", tmp_path / "copy")
    monkeypatch.setattr(backups.time, "time", lambda: 0.0)
    restore(tmp_path / "s", tmp_path / "copy")
    assert await written(tmp_path / "s") > newest


async def test_copies_are_private_before_anything_is_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await written(tmp_path / "s")
    modes: dict[str, int] = {}
    connect = sqlite3.connect

    def noted(path: Path, *arguments: Any, **options: Any) -> sqlite3.Connection:
        modes[Path(path).name] = Path(path).stat().st_mode & 0o777 if Path(path).exists() else -1
        return connect(path, *arguments, **options)

    monkeypatch.setattr(backups.sqlite3, "connect", noted)
    before = os.umask(0)
    try:
        backup(tmp_path / "s", tmp_path / "copy")
        restore(tmp_path / "other", tmp_path / "copy")
    finally:
        os.umask(before)
    assert modes[".copy.partial"] == modes[".other.restore"] == 0o600
    assert (tmp_path / "copy").stat().st_mode & 0o777 == (tmp_path / "other").stat().st_mode & 0o777 == 0o600
