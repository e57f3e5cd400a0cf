"""What comes from a plug-in's process may be anything, and any number of it: its agent reads what it can use, and goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlsysops_agents.adapters.worker import WorkerLimits, WorkerPolicy, load_in_worker
from mlsysops_agents.adapters.worker.pace import Pace
from mlsysops_core.contracts import PolicyContext
from mlsysops_core.plugins import PluginError

TEXT = """
import asyncio, os, struct, subprocess, sys

def initialize():
    return {{}}

def tell(data):
    calls = int(sys.argv[sys.argv.index("--calls") + 1])
    os.set_blocking(calls, True)  # all of it goes, however small the buffers of sockets are
    os.write(calls, struct.pack(">I", len(data)) + data)

async def analyze(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    if not context.get("calm"):
        {analyze}
    return True, context

async def plan(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return {plan}, context
"""
Load = Callable[..., Awaitable[WorkerPolicy]]


@pytest.fixture
async def load(tmp_path: Path) -> AsyncIterator[Load]:
    made: list[WorkerPolicy] = []

    async def run(analyze: str = "pass", plan: str = "{}") -> WorkerPolicy:
        text = TEXT.format(analyze=analyze, plan=plan).encode()
        limits = WorkerLimits(grace=0.3, load_timeout=60.0)
        _, policy = await load_in_worker("p", "p.py", text, limits=limits, directory=tmp_path)
        made.append(policy)
        return policy

    yield run
    for policy in made:
        await policy.close()


async def ended(process: psutil.Process) -> None:
    """Wait for the end of a process that is nobody's child: until somebody has waited for it, it is there, and dead."""
    async with asyncio.timeout(60):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.01)


async def call(policy: WorkerPolicy, stage: str, context: dict[str, Any]) -> Any:
    async with asyncio.timeout(60):  # what is expected comes long before
        return await getattr(policy, stage)(context, [], {}, {}, {}, None)


@pytest.mark.parametrize(
    ("analyze", "says"),
    [
        ("tell(b'[]'); await asyncio.sleep(60)", "answered nonsense"),
        ("tell(b'[' * 200_000); await asyncio.sleep(60)", "answered nonsense"),
        ("tell(b'{}' + b' ' * 5 * 2**20); await asyncio.sleep(60)", "is too large"),
        ("raise asyncio.CancelledError", "cancelled itself"),
        ("raise ValueError('half a pair ' + chr(0xd800))", "half a pair ?"),
    ],
    ids=["no answer", "depth", "size", "cancelled", "text"],
)
async def test_nonsense_ends_the_call_at_once_and_the_next_one_is_answered(load: Load, analyze: str, says: str) -> None:
    policy = await load(analyze)
    with pytest.raises(PluginError) as caught:
        await call(policy, "analyze", PolicyContext("a", {}))
    assert says in str(caught.value)
    assert str(caught.value).encode()
    needed, _ = await call(policy, "analyze", PolicyContext("a", {"calm": True}))
    assert needed


async def test_a_plan_that_is_too_large_is_refused_where_it_is_made(load: Load) -> None:
    policy = await load(plan="{'m': {'x': 'x' * 2**21}}")
    with pytest.raises(PluginError, match="a plan has 1048576 at most"):
        await call(policy, "plan", PolicyContext("a", {}))


async def test_the_part_of_a_context_that_is_too_large_stays_in_the_process(load: Load) -> None:
    policy = await load("context.setdefault('n', []).append(len(context.get('big', ''))); context['big'] = 'x' * 2**21")
    context = PolicyContext("a", {"configuration": {"analyze_interval": "5s"}})
    for _ in range(2):
        _, told = await call(policy, "analyze", context)
        context.update(told)
    assert context["n"] == [0, 2**21]
    assert context["configuration"] == {"analyze_interval": "5s"}
    assert context["big"]["v"] == "str (2097154 characters)"


async def test_what_a_plug_in_has_started_ends_with_it_wherever_it_went(load: Load) -> None:
    sleep = "[sys.executable, '-c', 'import time; time.sleep(600)']"
    start = f"context['pid'] = subprocess.Popen({sleep}, start_new_session=True).pid"
    policy = await load(start)
    _, context = await call(policy, "analyze", PolicyContext("a", {}))
    started = psutil.Process(context["pid"])
    assert started.is_running()
    await policy.close()
    await ended(started)


def test_one_that_tells_too_much_waits() -> None:
    now = 0.0
    pace = Pace(10.0, 5.0, monotonic=lambda: now)
    assert [pace.debt() for _ in range(5)] == [0.0] * 5
    assert [round(pace.debt(), 6) for _ in range(2)] == [0.1, 0.2]
    now = 100.0
    assert pace.debt() == 0.0


async def test_who_gives_up_closing_does_not_keep_others_from_it(load: Load) -> None:
    """The connection that breaks has a policy closed, too; whoever comes second cancels whoever came first."""
    sleep = "[sys.executable, '-c', 'import time; time.sleep(600)']"
    policy = await load(f"context['pid'] = subprocess.Popen({sleep}, start_new_session=True).pid")
    _, context = await call(policy, "analyze", PolicyContext("a", {}))
    started = psutil.Process(context["pid"])
    worker = started.parent()
    assert worker is not None
    loop, busy = asyncio.get_running_loop(), threading.Event()
    with ThreadPoolExecutor(1) as threads:
        loop.set_default_executor(threads)
        held = loop.run_in_executor(None, busy.wait)
        closing = asyncio.ensure_future(policy.close())
        async with asyncio.timeout(60):
            while worker.is_running():  # noqa: ASYNC110 - only then it is looked for what it started
                await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait({closing})
        busy.set()
        await held
        await policy.close()
    await ended(started)
