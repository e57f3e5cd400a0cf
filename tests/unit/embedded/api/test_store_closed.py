"""A store that is closed says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.store import Store


async def test_a_write_after_the_end_fails_at_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    store.start(asyncio.get_running_loop())
    await store.put("things", ("", "a"), lambda rv: b'{"a": %d}' % rv)
    await asyncio.to_thread(store.close)
    with pytest.raises(ApiError) as refused:
        async with asyncio.timeout(5):
            await store.put("things", ("", "b"), lambda rv: b"{}")
    assert refused.value.code == 500
