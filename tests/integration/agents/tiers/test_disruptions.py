"""Many nodes that fall silent at once, on a real control plane with a real cluster agent: what leaves them, and when.

The nodes are simulated: the test says of them what Kubernetes' node lifecycle controller would.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from simulated_nodes import SimulatedNodes
from tiers_slice import eventually

pytestmark = pytest.mark.timeout(300)
#: More than 50 nodes are a large zone, which is left slowly; of these, 30 are more than 55 %.
COUNT, LOST = 52, 30
APPS = tuple(f"app-{number}" for number in range(6))


@pytest.fixture
async def many(tmp_path: Path) -> AsyncIterator[SimulatedNodes]:
    made = SimulatedNodes(tmp_path, COUNT)
    try:
        await made.start()
        made.start_cluster_agent()
        await eventually(lambda: made.seen_ready(COUNT), seconds=120, what="the agent sees its nodes")
        yield made
    finally:
        await made.stop()


async def another_second() -> None:
    """Return in another second: conditions carry whole ones, and which came first is to be known."""
    begun = int(time.time())
    while int(time.time()) == begun:  # noqa: ASYNC110 - time is the condition
        await asyncio.sleep(0.02)


async def test_components_leave_silent_nodes_slowly_or_not_at_all_while_many_are_silent(many: SimulatedNodes) -> None:
    needs = {"cpu": {"requests": "5"}, "memory": {"requests": "64Mi"}}  # more than half a node
    for name in APPS:
        component = {"metadata": {"name": "web"}, "containers": [{"image": "x:1", "platform_requirements": needs}]}
        annotations = {"mlsysops.eu/component-clusters": '{"web": "cluster1"}'}
        spec = {"name": name, "components": [component]}
        await many.describe("MLSysOpsApp", name, spec, annotations=annotations)
    await eventually(lambda: placed(many), seconds=120, what="applications are placed")
    begin = await many.places()
    assert len(set(begin.values())) == len(APPS)

    # All of them: nobody is moved, for there is nowhere to go; and when they are back, all is as it was.
    used = sorted(begin.values())
    unused = [name for name in many.nodes if name not in used]
    await many.say(
        unused, "Unknown"
    )  # before those that have something to lose: however long it takes, there is nowhere to go
    await many.say(used, "Unknown")
    await eventually(lambda: says(many, APPS, f"0/{COUNT} nodes fit"), seconds=120, what="they stay")
    assert await many.places() == begin
    await another_second()
    await many.say(many.nodes, "True")
    await eventually(lambda: many.seen_ready(COUNT), seconds=120, what="the nodes are back")
    assert await many.places() == begin

    # More than half of them: one node is left, the others have to wait for their turn.
    await another_second()
    others = unused[: LOST - len(APPS)]
    await many.say(others, "Unknown")
    await many.say(used, "Unknown")
    (first,) = await eventually(lambda: moved(many, begin), seconds=120, what="one node is left")
    held = [name for name in APPS if name != first]
    await eventually(
        lambda: says(many, held, "they are left one in 100 s"), seconds=120, what="the others say why they stay"
    )
    now = await many.places()
    assert {name: now[name] for name in held} == {name: begin[name] for name in held}
    assert now[first] not in {*used, *others}

    # Enough of them are back, so that it is the rest that is gone: at once they may leave.
    await many.say(others, "True")

    async def left() -> bool:
        return not set((await many.places()).values()) & set(used)

    await eventually(left, seconds=120, what="the nodes that are gone are left")


async def placed(many: SimulatedNodes) -> bool:
    return (await many.places()).keys() == set(APPS)


async def moved(many: SimulatedNodes, begin: dict[str, str]) -> list[str]:
    now = await many.places()
    return [name for name in APPS if now[name] != begin[name]]


async def says(many: SimulatedNodes, names: Iterable[str], words: str) -> bool:
    return set(names) <= await many.told(words)
