"""What is requested where: the same whatever way it came about, and worked out anew only of what changed."""

from __future__ import annotations

import json
import random
from typing import Any

from agent_fakes import FakeObjects, FakeTelemetry
from mlsysops_agents.continuum.usage import Usage
from mlsysops_agents.continuum.world import ContinuumWorld
from mlsysops_core.contracts import AgentIdentity
from mlsysops_core.model import Application


def app(name: str, cpu: str, place: tuple[str, str] | None) -> dict[str, Any]:
    needs = {"cpu": {"requests": cpu}, "memory": {"requests": "64Mi"}}
    spec = {
        "name": name,
        "components": [{"metadata": {"name": "web"}, "containers": [{"image": "x:1", "platform_requirements": needs}]}],
    }
    components = [{"name": "web", "cluster": place[0], "node": place[1]}] if place else []
    metadata = {"name": name, "annotations": {"mlsysops.eu/component-clusters": json.dumps({"web": "c1"})}}
    return {
        "apiVersion": "mlsysops.eu/v1",
        "kind": "MLSysOpsApp",
        "metadata": metadata,
        "spec": spec,
        "status": {"components": components},
    }


class Continuum:
    def __init__(self) -> None:
        self.objects = FakeObjects()
        self.world = ContinuumWorld(AgentIdentity("continuum", "k"), self.objects, FakeTelemetry())
        self.read: list[str] = []

    def usage(self) -> Usage:
        def description(obj: Any) -> Application | None:
            self.read.append(obj["metadata"]["name"])
            return self.world.descriptions.get(obj, Application)

        return Usage(self.objects, description, self.world._wants)


def test_what_changed_one_by_one_is_what_is_there() -> None:
    continuum, chance = Continuum(), random.Random(11)
    usage = continuum.usage()
    for _ in range(300):
        name = f"a{chance.randrange(8)}"
        if chance.random() < 0.2:
            continuum.objects.drop("MLSysOpsApp", name)
        else:
            place = chance.choice([None, ("c1", "n1"), ("c1", "n2"), ("c2", "n1")])
            continuum.objects.put(app(name, chance.choice(["100m", "1", "2500m"]), place))
        if chance.random() < 0.7:
            assert dict(usage.totals()) == dict(continuum.usage().totals())


def test_a_change_costs_a_look_at_what_changed_however_many_there_are() -> None:
    continuum = Continuum()
    usage = continuum.usage()
    for number in range(500):
        continuum.objects.put(app(f"a{number}", "1", ("c1", f"n{number % 10}")))
    assert usage.totals()["c1", "n0"].cpu == 50
    continuum.read.clear()
    continuum.objects.put(app("a0", "2", ("c1", "n1")))
    assert usage.totals()["c1", "n0"].cpu == 49
    assert usage.totals()["c1", "n1"].cpu == 52
    assert continuum.read == ["a0"]
