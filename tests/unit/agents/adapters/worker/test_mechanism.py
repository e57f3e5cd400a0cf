"""A module mechanism in a process of its own: commands go in, state and messages come out, and its faults stay there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlsysops_agents.adapters.worker import WorkerLimits, WorkerMechanism, load_mechanism_in_worker
from mlsysops_core.contracts import Mechanism
from mlsysops_core.plugins import PluginError

#: As mechanisms of the MLSysOps framework are written: two queues, one to be asked and one to tell, and whatever type of state.
KNOB = """
import asyncio
from mlsysops.events import MessageEvents
from mlsysops.logger_util import logger

queues = {}
state = {"done": [], "given": []}

async def listen():
    while True:
        state["given"].append(await queues["from_agent"].get())
        await queues["to_agent"].put({"event": MessageEvents.PLAN_EXECUTED.value})

def initialize(inbound_queue=None, outbound_queue=None, agent_state=None):
    queues.update(to_agent=inbound_queue, from_agent=outbound_queue)
    state["node"] = agent_state.configuration.node
    asyncio.create_task(listen())

async def apply(command):
    if "raise" in command:
        raise ValueError(command["raise"])
    if "hang" in command:
        while True: pass
    if "exit" in command:
        import os
        os._exit(4)
    state["done"].append(command["value"])
    logger.test("done %s", command["plan_uid"])
    await queues["to_agent"].put({"event": "applied"})
    return command["value"] > 0

def get_state():
    return state

def get_options():
    return [1, 2, 3]
"""
Load = Callable[..., Awaitable[WorkerMechanism]]


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a condition of another process
            await asyncio.sleep(0.01)


@pytest.fixture
async def load(tmp_path: Path) -> AsyncIterator[Load]:
    made: list[WorkerMechanism] = []

    async def run(text: str = KNOB, listener: Any = None, **limits: Any) -> WorkerMechanism:
        loaded, mechanism = await load_mechanism_in_worker(
            "knob",
            Path("mechanism-knob.py"),
            text.encode(),
            limits=WorkerLimits(**({"grace": 0.3} | limits)),
            directory=tmp_path,
            facts={"node": "worker1"},
            listener=listener,
        )
        assert loaded.version.startswith("sha256:")
        made.append(mechanism)
        return mechanism

    yield run
    for mechanism in made:
        await mechanism.close()


async def test_commands_go_in_and_state_comes_out(load: Load) -> None:
    heard: list[Any] = []
    mechanism = await load(listener=heard.append)
    assert isinstance(mechanism, Mechanism)
    assert mechanism.get_state() == {"done": [], "given": [], "node": "worker1"}
    assert mechanism.get_options() == [1, 2, 3]
    outcome = await mechanism.apply({"value": 7})
    assert outcome.ok
    assert mechanism.get_state()["done"] == [7]
    await until(lambda: heard == [{"event": "applied"}])
    assert mechanism.assets({}) == {"mechanism/knob"}
    # What policies do to what they are shown stays with them.
    mechanism.get_state()["done"].append(8)
    assert mechanism.get_state()["done"] == [7]


async def test_false_means_that_it_goes_on_by_itself(load: Load) -> None:
    mechanism = await load()
    outcome = await mechanism.apply({"value": 0})
    assert outcome.ok
    assert "not finished" in outcome.message


async def test_the_agent_can_tell_it_something_and_is_told(load: Load) -> None:
    heard: list[Any] = []
    mechanism = await load(listener=heard.append)
    await mechanism.give({"event": "x"})
    await until(lambda: heard == [{"event": "plan_executed"}])
    assert mechanism.get_state()["given"] == [{"event": "x"}]  # whoever is woken sees what it is about


async def test_what_it_raises_ends_its_command_alone(load: Load) -> None:
    mechanism = await load()
    with pytest.raises(PluginError, match="mechanism knob: ValueError: no such value"):
        await mechanism.apply({"raise": "no such value"})
    assert (await mechanism.apply({"value": 1})).ok


async def test_one_that_hangs_is_killed_and_made_anew(load: Load) -> None:
    mechanism = await load()
    await mechanism.apply({"value": 1})
    first = mechanism.pid
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await mechanism.apply({"hang": True})
    await until(lambda: mechanism.pid != first)
    assert (await mechanism.apply({"value": 2})).ok
    assert mechanism.get_state()["done"] == [2]


async def test_one_that_ends_is_told_of_and_made_anew(load: Load) -> None:
    mechanism = await load()
    with pytest.raises(PluginError, match="ended by itself with code 4"):
        await mechanism.apply({"exit": True})
    assert (await mechanism.apply({"value": 2})).ok


async def test_a_state_that_cannot_be_had_is_told_as_a_fault(load: Load) -> None:
    mechanism = await load(KNOB.replace("    return state\n", "    raise OSError('no such file')\n"))
    assert mechanism.get_state() == {}
    assert "get_state() failed: OSError: no such file" in mechanism.get_status()["fault"]
    assert mechanism.get_options() == [1, 2, 3]


@pytest.mark.parametrize("state", ["def get_status():\n    return [1400]\n", ""])
async def test_a_mechanism_need_not_have_more_than_the_design_of_the_framework_asks_for(load: Load, state: str) -> None:
    """Functions that act and tell; nothing to initialize, and a state only where there is one."""
    text = "done = []\n\ndef apply(command):\n    done.append(command)\n\ndef get_options():\n    return done\n\n"
    mechanism = await load(text + state)
    assert (await mechanism.apply({"frequency": 1400})).ok
    assert mechanism.get_options()[0]["frequency"] == 1400
    assert mechanism.get_state() == ([1400] if state else {})


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("def get_options", "def get_opinions", "function get_options() is missing"),
        ("def apply", "def supply", "function apply() is missing"),
        ('state["node"] =', "raise KeyError('node')\n    _ =", "initialize() failed: KeyError"),
        ("import asyncio", "import asyncio, no_such_module", "No module named 'no_such_module'"),
    ],
)
async def test_what_does_not_load_is_told_and_leaves_no_process(load: Load, old: str, new: str, says: str) -> None:
    before = set(psutil.Process().children())
    with pytest.raises(PluginError) as caught:
        await load(KNOB.replace(old, new))
    assert says in str(caught.value)
    assert str(caught.value).startswith("mechanism knob")
    assert set(psutil.Process().children()) <= before
