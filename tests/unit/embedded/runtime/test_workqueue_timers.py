"""Timers of the work queue, on either event loop: uvloop's shortest ones are of another kind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop
from mlsysops_embedded.client.workqueue import WorkQueue


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_key_that_is_gathered_again_keeps_its_earliest_time(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def run() -> None:
        queue = WorkQueue[str]()
        for delay in (60, 0.0004, 0.0004, 60):
            queue.add_after("rs", delay)
        assert await asyncio.wait_for(queue.get(), 5) == "rs"
        queue.done("rs")
        assert len(queue) == 0

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())
