"""The revision log and the state over it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.store import Store, state
from mlsysops_embedded.store.backup import backup, restore


def encoder(value: int):  # type: ignore[no-untyped-def]
    return lambda rv: orjson.dumps({"metadata": {"resourceVersion": str(rv)}, "value": value})


async def opened(path: Path) -> Store:
    store = Store(path)
    store.start(asyncio.get_running_loop())
    return store


async def test_what_is_written_is_there_after_reopening(tmp_path: Path) -> None:
    store = await opened(tmp_path / "s")
    await store.put("b", ("n", "x"), encoder(1))
    await store.put("b", ("n", "x"), encoder(2))
    await store.put("b", ("n", "y"), encoder(3))
    await store.put("b", ("n", "y"), encoder(4), deleted=True)
    store.close()
    again = await opened(tmp_path / "s")
    assert {key: entry.parse()["value"] for key, entry in again.bucket("b").objects.items()} == {("n", "x"): 2}
    assert again.rv == 4
    changes = again.bucket("b").changes
    assert [(c.entry.parse()["value"], c.deleted) for c in changes] == [(1, False), (2, False), (3, False), (4, True)]
    assert changes[1].previous is not None
    again.close()


async def test_a_past_state_can_be_read(tmp_path: Path) -> None:
    store = await opened(tmp_path / "s")
    history = []
    for step in range(30):
        await store.put("b", ("n", str(step % 7)), encoder(step), deleted=step % 7 == 3)
        objects = store.bucket("b").objects
        history.append((store.rv, {key: entry.parse()["value"] for key, entry in objects.items()}))
    for rv, expected in history:
        assert {k: e.parse()["value"] for k, e in store.bucket("b").at(rv).items()} == expected
    store.close()


async def test_history_is_bounded_and_compaction_survives_reopening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "_HISTORY_EVENTS", 20)
    monkeypatch.setattr(state, "_COMPACT_EVERY", 10)
    store = await opened(tmp_path / "s")
    for step in range(100):
        await store.put("b", ("n", str(step % 3)), encoder(step))
    await store.put("b", ("n", "0"), encoder(-1), deleted=True)
    assert len(store.bucket("b").changes) <= 30
    with pytest.raises(ApiError) as error:
        store.bucket("b").at(5)
    assert error.value.code == 410
    expected = {key: entry.data for key, entry in store.bucket("b").objects.items()}
    rv, compacted = store.rv, store.bucket("b").compacted
    store.close()
    again = await opened(tmp_path / "s")
    assert {key: entry.data for key, entry in again.bucket("b").objects.items()} == expected
    assert again.rv == rv
    assert again.bucket("b").compacted >= compacted
    count = again.log._connection.execute("SELECT count(*) FROM revisions").fetchone()[0]
    assert count < 45
    again.close()


async def test_one_process_a_store(tmp_path: Path) -> None:
    store = await opened(tmp_path / "s")
    with pytest.raises(OSError, match="in use"):
        Store(tmp_path / "s")
    store.close()


async def test_backup_and_restore_never_repeat_a_revision(tmp_path: Path) -> None:
    store = await opened(tmp_path / "s")
    await store.put("b", ("n", "x"), encoder(1))
    await store.put("b", ("n", "y"), encoder(2))
    await store.put("b", ("n", "y"), encoder(2), deleted=True)
    backup(tmp_path / "s", tmp_path / "copy")
    await store.put("b", ("n", "x"), encoder(9))
    newest = store.rv
    with pytest.raises(OSError, match="in use"):
        restore(tmp_path / "s", tmp_path / "copy")
    store.close()
    restore(tmp_path / "s", tmp_path / "copy")
    again = await opened(tmp_path / "s")
    assert {k: e.parse()["value"] for k, e in again.bucket("b").objects.items()} == {("n", "x"): 1}
    assert again.rv > newest
    entry = await again.put("b", ("n", "z"), encoder(3))
    assert entry.rv > newest
    with pytest.raises(ApiError):
        again.bucket("b").at(newest)
    again.close()


async def test_a_disk_that_takes_nothing_gives_an_error_and_no_change(tmp_path: Path) -> None:
    store = await opened(tmp_path / "s")
    await store.put("b", ("n", "x"), encoder(1))
    store.log._connection.execute("PRAGMA max_page_count=1")
    with pytest.raises(ApiError, match="full") as error:
        await store.put("b", ("n", "big"), lambda rv: b'{"x":"' + b"x" * 1_000_000 + b'"}')
    assert error.value.code == 500
    assert store.get("b", ("n", "big")) is None
    store.log._connection.execute("PRAGMA max_page_count=1000000")
    await store.put("b", ("n", "y"), encoder(2))
    store.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from mlsysops_embedded.store import Store
async def main():
    store = Store(Path(sys.argv[1])); store.start(asyncio.get_running_loop())
    async def writer(n):
        step = 0
        while True:
            name = f"{n}-{step % 5}"
            entry = await store.put("b", ("n", name), lambda rv: b'{"rv":%d}' % rv, deleted=step % 4 == 3)
            print(name, entry.rv, int(step % 4 == 3), flush=True)
            step += 1
    await asyncio.gather(*(writer(n) for n in range(4)))
asyncio.run(main())
"""


async def test_an_acknowledged_write_survives_a_kill(tmp_path: Path) -> None:
    newest = 0  # (The writer is awaited by its lines, so that blocking pipes serve best.)
    for round_number in range(4):
        path = tmp_path / "s"
        process = subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(60 + 37 * round_number)]
        os.kill(process.pid, signal.SIGKILL)
        rest, _ = process.communicate()
        acknowledged: dict[str, tuple[int, bool]] = {}
        for line in [*lines, *rest.splitlines()[:-1]]:
            name, rv, deleted = line.split()
            assert int(rv) > newest
            acknowledged[name] = (int(rv), deleted == "1")
        store = Store(path)
        for name, (rv, deleted) in acknowledged.items():
            entry = store.get("b", ("n", name))
            if entry is None:
                # Deleted by the acknowledged write, or by one on its way when the process died.
                assert deleted or store.rv > rv
            else:
                assert entry.rv >= rv
        newest = store.rv
        store.start(asyncio.get_running_loop())
        store.close()
