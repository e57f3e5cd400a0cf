"""Adapters in memory: a Kubernetes API that only remembers, and a clock that stands."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlsysops_agents.adapters.journal import Journal
from mlsysops_agents.loop import VirtualClock
from mlsysops_core.contracts import AgentIdentity, PlacementOutcome, Rejected, Sample
from mlsysops_core.errors import MlsError


class FakeObjects:
    """`contracts.Objects` over dicts. ``fail`` is raised by the next write, once."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], dict[str, Any]] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.events: list[tuple[str, str, str]] = []
        self.fail: MlsError | None = None
        self._version = 0
        self._journals: dict[str, Journal] = {}
        self._gone: Counter[tuple[str, str]] = Counter()

    def put(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        key = (str(obj["kind"]), str(obj["metadata"]["name"]))
        before = self.stored.get(key)
        self._version += 1
        made = copy.deepcopy(dict(obj))
        metadata = made["metadata"]
        metadata.setdefault("namespace", "mlsysops")
        again = f"-{self._gone[key]}" if self._gone[key] else ""
        metadata["uid"] = before["metadata"]["uid"] if before else f"uid-{key[1]}{again}"
        metadata["resourceVersion"] = str(self._version)
        changed = before is None or before.get("spec") != made.get("spec")
        metadata["generation"] = (before["metadata"]["generation"] if before else 0) + int(changed)
        if before is not None and "status" not in made and "status" in before:
            made["status"] = before["status"]
        self.stored[key] = made
        self._note(key)
        return made

    def drop(self, kind: str, name: str) -> bool:
        """Have an object gone."""
        self._note((kind, name))
        self._gone[kind, name] += 1
        return self.stored.pop((kind, name), None) is not None

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        return self.stored.get((kind, name))

    def items(self, kind: str) -> Sequence[dict[str, Any]]:
        return [self.stored[key] for key in sorted(self.stored) if key[0] == kind]

    def labelled(self, kind: str, label: str, value: str) -> Sequence[dict[str, Any]]:
        return [item for item in self.items(kind) if (item["metadata"].get("labels") or {}).get(label) == value]

    def changes(self, kind: str, mark: Any) -> tuple[Any, frozenset[str] | None]:
        """As the caches (`mark` a number) and as what agents see (`mark` a pair)."""
        number, names = self._journals.setdefault(kind, Journal()).since(mark if isinstance(mark, int) else mark[0])
        return number if isinstance(mark, int) else (number, number), names

    async def apply(self, obj: Mapping[str, Any], *, field_manager: str) -> dict[str, Any]:
        self._maybe_fail()
        self.writes.append(("apply", str(obj["kind"]), str(obj["metadata"]["name"])))
        return self.put(obj)

    async def resize(
        self, pod: str, resources: Mapping[str, Mapping[str, Any]], *, field_manager: str
    ) -> dict[str, Any]:
        self._maybe_fail()
        self.writes.append(("resize", "Pod", pod))
        obj = copy.deepcopy(self.stored[("Pod", pod)])
        for container in obj["spec"]["containers"]:
            if container["name"] in resources:
                container["resources"] = copy.deepcopy(dict(resources[container["name"]]))
        return self.put(obj)

    async def annotate(
        self, kind: str, name: str, annotations: Mapping[str, str | None], *, field_manager: str
    ) -> dict[str, Any]:
        self._maybe_fail()
        self.writes.append(("annotate", kind, name))
        obj = copy.deepcopy(self.stored[(kind, name)])
        obj["metadata"].setdefault("annotations", {}).update(annotations)
        return self.put(obj)

    async def delete(self, kind: str, name: str, *, uid: str | None = None) -> bool:
        self._maybe_fail()
        self.writes.append(("delete", kind, name))
        return self.drop(kind, name)

    def _note(self, key: tuple[str, str]) -> None:
        self._journals.setdefault(key[0], Journal()).note(key[1])

    async def event(self, regarding: Mapping[str, Any], *, kind: str, reason: str, message: str) -> None:
        self.events.append((str(regarding["metadata"]["name"]), reason, message))

    def _maybe_fail(self) -> None:
        if self.fail is not None:
            failure, self.fail = self.fail, None
            raise failure


class FakeTelemetry:
    """Newest values by metric and component."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], float] = {}

    def latest(self, metric: str, **attributes: str) -> Sample | None:
        value = self.values.get((metric, attributes.get("service_name", "")))
        return Sample(metric, value, 1_700_000_000.0, dict(attributes)) if value is not None else None

    def series(self, metric: str) -> Sequence[Sample]:
        return []

    def metrics(self) -> Sequence[str]:
        return sorted({metric for metric, _ in self.values})

    def subscribe(self, callback: Any) -> Any:
        return lambda: None


class FakeHandle:
    """A `PluginHandle` whose answers a test sets."""

    def __init__(self, tier: str = "cluster", objects: FakeObjects | None = None) -> None:
        self.agent = AgentIdentity(tier, "c1" if tier == "cluster" else "k")  # type: ignore[arg-type]
        self.clock = VirtualClock()
        self.objects = objects or FakeObjects()
        self.telemetry = FakeTelemetry()
        self.placement = PlacementOutcome({})
        self.elsewhere = PlacementOutcome({})
        self.improvement: PlacementOutcome | None = None
        self.unfit: dict[str, Rejected] = {}
        self.components: list[str] = []
        self.told: list[str] = []
        self.rejected: list[Rejected] = []

    def place(self, application: str) -> PlacementOutcome:
        return self.placement

    def recheck(self, application: str) -> Mapping[str, Rejected]:
        return self.unfit

    def alternatives(self, application: str, component: str) -> PlacementOutcome:
        return self.elsewhere

    def better(self, application: str) -> PlacementOutcome | None:
        return self.improvement

    def objection(self, application: str, component: str, host: str) -> Rejected | None:
        found = self.unfit.get(component)
        return found if found is not None and found.candidate == host else None

    def assigned(self, application: str) -> Sequence[str]:
        return self.components

    def explain(self, *, rejected: Iterable[Rejected] = (), message: str = "", component: str | None = None) -> None:
        self.rejected.extend(rejected)
        if message:
            self.told.append(message)

    def notify(self, application: str, reason: str) -> None:
        self.told.append(reason)
