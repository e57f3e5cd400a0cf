"""What a policy of a user does wrong, it does to its own process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlsysops_agents.adapters.worker import WorkerLimits, WorkerPolicy, load_in_worker
from mlsysops_core.contracts import PolicyContext
from mlsysops_core.plugins import LoadedPolicy, PluginError

HEAD = "def initialize():\n    return {'count': 0, 'telemetry': {'metrics': ['load']}}\n\n"
ARGUMENTS = "context, application_description, system_description, mechanisms, telemetry, ml_connector"


def source(analyze: str, plan: str = "return {}, context", head: str = HEAD) -> str:
    def function(name: str, body: str) -> str:
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        return f"async def {name}({ARGUMENTS}):\n{lines}\n\n"

    return head + function("analyze", analyze) + function("plan", plan)


Load = Callable[..., Awaitable[tuple[LoadedPolicy, WorkerPolicy]]]


@pytest.fixture
async def load(tmp_path: Path) -> AsyncIterator[Load]:
    made: list[WorkerPolicy] = []

    async def run(text: str, **limits: Any) -> tuple[LoadedPolicy, WorkerPolicy]:
        settings = WorkerLimits(**({"grace": 0.3} | limits))
        loaded, policy = await load_in_worker("p", "p.py", text.encode(), limits=settings, directory=tmp_path)
        made.append(policy)
        return loaded, policy

    yield run
    for policy in made:
        await policy.close()


class Query:
    def __call__(self, metric: str) -> float | None:
        return self.latest(metric)

    def latest(self, metric: str, attributes: Any = None) -> float | None:
        return {"load": 3.5}.get(metric)

    def window(self, metric: str, seconds: float = 300, attributes: Any = None) -> list[dict[str, Any]]:
        return [{"time": 1.0, "value": 2.0, "attributes": {}}]

    def list(self) -> list[str]:
        return ["load"]


class Models:
    async def predict(self, model: str, inputs: dict[str, Any]) -> dict[str, Any]:
        return {"model": model, **inputs}


async def analyze(policy: WorkerPolicy, context: dict[str, Any], models: Any = None) -> tuple[bool, dict[str, Any]]:
    return await policy.analyze(context, [{"name": "app", "spec": {}}], {}, {}, {"query": Query()}, models)


async def test_contexts_live_in_the_worker_and_come_back_after_it_died(load: Load) -> None:
    text = source(
        "context['count'] += 1\ncontext['seen'] = {(1, 2)}\nreturn True, context",
        "return {'m': {'n': context['count']}}, context",
    )
    loaded, policy = await load(text)
    assert loaded.version.startswith("sha256:")
    assert loaded.declaration.metrics == ("load",)
    context = PolicyContext("application/a", loaded.context)
    for _ in range(2):
        needed, context_ = await analyze(policy, context)
        assert needed
        context.update(context_)
    assert context["count"] == 2
    first = policy.pid
    assert first is not None
    psutil.Process(first).kill()
    await asyncio.get_running_loop().run_in_executor(None, psutil.wait_procs, [psutil.Process(os.getpid())], 0)
    for _ in range(50):
        if policy.pid != first:
            break
        await asyncio.sleep(0.02)
    _, after = await analyze(policy, context)
    assert after["count"] == 3
    assert policy.pid != first
    commands, _ = await policy.plan(context, [], {}, {}, {"query": Query()}, None)
    assert commands == {"m": {"n": 3}}


async def test_telemetry_and_models_are_asked_for_where_they_are(load: Load) -> None:
    body = (
        "q = telemetry['query']\n"
        "frame = await q(latest=True)\n"
        "context['got'] = [q('load'), q.latest('none'), q.window('load')[0]['value'], q.list(), frame['load'].values[0]]\n"
        "context['model'] = await ml_connector.predict('m', {'x': 1}) if ml_connector else None\n"
        "return False, context"
    )
    loaded, policy = await load(source(body))
    _, context = await analyze(policy, PolicyContext("a", loaded.context), Models())
    assert context["got"] == [3.5, None, 2.0, ["load"], 3.5]
    assert context["model"] == {"model": "m", "x": 1}
    _, context = await analyze(policy, PolicyContext("b", loaded.context))
    assert context["model"] is None


@pytest.mark.parametrize(
    "body", ["while True: pass", "import time\ntime.sleep(60)", "import asyncio\nawait asyncio.sleep(60)"]
)
async def test_a_policy_that_hangs_is_given_up_and_the_next_call_answers(load: Load, body: str) -> None:
    hang = "\n".join(f"    {line}" for line in body.splitlines())
    text = source(
        f"if application_description[0]['name'] == 'app' and not context.get('calm'):\n{hang}\nreturn True, context"
    )
    loaded, policy = await load(text)
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    beating = asyncio.create_task(beat())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await analyze(policy, PolicyContext("a", loaded.context))
    assert beats > 5  # the agent's own loop went on meanwhile
    beating.cancel()
    async with asyncio.timeout(10):
        while True:
            try:
                needed, _ = await analyze(policy, PolicyContext("b", {"calm": True}))
                break
            except PluginError:
                await asyncio.sleep(0.05)
    assert needed


async def test_a_policy_that_takes_all_memory_is_stopped_by_its_limit(load: Load) -> None:
    text = source(
        "if context.get('calm'):\n    return True, context\nhoard = []\nwhile True:\n    hoard.append(bytearray(16 * 2**20))"
    )
    loaded, policy = await load(text, memory=400 * 2**20)
    with pytest.raises(PluginError, match=r"MemoryError|out of memory"):
        await analyze(policy, PolicyContext("a", loaded.context))
    needed, _ = await analyze(policy, PolicyContext("a", {"calm": True}))
    assert needed


async def test_a_policy_that_burns_processor_time_is_ended_by_the_kernel(load: Load) -> None:
    loaded, policy = await load(source("while True: pass"), cpu_seconds=0.2, grace=30)
    with pytest.raises(PluginError, match="processor time"):
        async with asyncio.timeout(20):
            await analyze(policy, PolicyContext("a", loaded.context))


async def test_what_json_cannot_hold_stays_in_the_worker(load: Load) -> None:
    body = "context.setdefault('lock', __import__('threading').Lock())\ncontext['count'] += 1\nreturn context['lock'].acquire(False), context"
    loaded, policy = await load(source(body))
    context = PolicyContext("a", loaded.context)
    needed, held = await analyze(policy, context)
    assert needed
    assert held["lock"] == {"__mls__": "opaque", "v": "lock"}
    context.update(held)
    needed, held = await analyze(policy, context)
    assert not needed  # the same lock, held already
    await policy._process.kill()  # type: ignore[union-attr]
    needed, held = await analyze(policy, context)
    assert needed
    assert held["count"] == 1  # begun anew


async def test_exit_and_raise_are_told(load: Load) -> None:
    loaded, policy = await load(source("raise ValueError('no')"))
    with pytest.raises(PluginError, match="policy p: ValueError: no"):
        await analyze(policy, PolicyContext("a", loaded.context))
    loaded, policy = await load(source("__import__('os')._exit(3)"))
    with pytest.raises(PluginError, match="ended by itself with code 3"):
        await analyze(policy, PolicyContext("a", loaded.context))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def broken(:", "does not load: SyntaxError"),
        (source("return 1").replace("async def plan", "def plan"), "plan() must be 'async def'"),
        (source("return 1", head="def initialize():\n    return 1\n\n"), "must return a dict, not int"),
        (source("return 1", head="def initialize():\n    return 1 / 0\n\n"), "initialize() failed: ZeroDivisionError"),
        (source("return 1", head="def initialize():\n    return {'scope': 'galaxy'}\n\n"), "scope 'galaxy' is unknown"),
        (source("return 1", head="def initialize():\n    while True: pass\n\n"), "not loaded within 1 s"),
    ],
)
async def test_what_does_not_load_is_told_and_leaves_no_process(load: Load, text: str, says: str) -> None:
    before = set(psutil.Process().children())
    with pytest.raises(PluginError) as caught:
        await load(text, load_timeout=1.0 if "while" in text else 20.0)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert set(psutil.Process().children()) <= before


async def test_secrets_of_the_environment_stay_with_the_agent(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLS_TOKEN_OF_SOMEBODY", "secret")
    loaded, policy = await load(source("import os\ncontext['env'] = sorted(os.environ)\nreturn False, context"))
    _, context = await analyze(policy, PolicyContext("a", loaded.context))
    assert "MLS_TOKEN_OF_SOMEBODY" not in context["env"]
    assert "PATH" in context["env"]
