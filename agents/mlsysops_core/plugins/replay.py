"""Runs a policy over telemetry that was recorded or made up, without a slice: what would it have decided?

Time is the scenario's, not the machine's. Mechanisms are stood in for by their state: the placement mechanisms' actions change
it, other commands are only noted.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlsysops_core.contracts import Policy, Scope
from mlsysops_core.errors import InvalidInput

from .declaration import Declaration, PluginError, parse_interval

__all__ = ["Replayed", "Scenario", "SimulatedTelemetry", "replay"]

_PLACEMENT = ("fluidity", "clusterPlacement")
_MAX_SAMPLES = 1_000_000
_KEYS = frozenset({"duration", "applications", "system", "mechanisms", "telemetry", "start"})
_SHAPES = ("constant", "ramp", "sine", "step")


@dataclass(frozen=True, slots=True)
class Reading:
    """One value at one time of the scenario (seconds from its start)."""

    time: float
    metric: str
    value: float
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a policy is shown.

    Attributes:
        duration: Seconds.
        start: Seconds since the Unix epoch at which it starts.
        applications: Applications, each with ``name`` and ``spec``.
        system: The tier's own wrapped description.
        mechanisms: Mechanism to ``{"state": …, "options": …}``.
        readings: Telemetry, oldest first.
    """

    duration: float
    start: float
    applications: Sequence[dict[str, Any]]
    system: dict[str, Any]
    mechanisms: dict[str, dict[str, Any]]
    readings: Sequence[Reading]

    @classmethod
    def from_value(cls, value: Any) -> Scenario:
        """Read a scenario, as it comes from YAML.

        Raises:
            InvalidInput: It is none; the message says what is wrong.
        """
        if not isinstance(value, Mapping):
            raise InvalidInput("a scenario is a mapping", hint=f"with {', '.join(sorted(_KEYS))}")
        if unknown := sorted(set(map(str, value)) - _KEYS):
            raise InvalidInput(f"unknown key {unknown[0]!r} in the scenario", hint=f"known: {', '.join(sorted(_KEYS))}")
        duration = _seconds(value.get("duration", 60), "duration")
        readings = sorted(
            (
                reading
                for index, item in enumerate(value.get("telemetry") or ())
                for reading in _read(item, index, duration)
            ),
            key=lambda reading: reading.time,
        )
        applications: list[dict[str, Any]] = []
        for index, item in enumerate(value.get("applications") or ()):
            if not isinstance(item, Mapping) or not (item.get("name") or "MLSysOpsApp" in item):
                raise InvalidInput(f"applications[{index}] needs a name and a spec, or is a wrapped description")
            inner = dict(item["MLSysOpsApp"]) if "MLSysOpsApp" in item else dict(item.get("spec") or {})
            applications.append({"name": str(item.get("name") or inner.get("name")), "spec": inner})
        mechanisms = {
            str(name): {
                "state": copy.deepcopy((item or {}).get("state") or {}),
                "options": (item or {}).get("options") or {},
            }
            for name, item in (value.get("mechanisms") or {}).items()
        }
        start = float(value.get("start") or 1_700_000_000.0)
        return cls(duration, start, applications, dict(value.get("system") or {}), mechanisms, readings)


@dataclass(frozen=True, slots=True)
class Replayed:
    """One turn of the policy.

    Attributes:
        time: Seconds from the start.
        asset: What it was about.
        trigger: Why.
        verdict: ``no-change``, ``adapt``, ``no-plan`` or ``error``.
        plan: What it wants done.
        message: What went wrong, or what the stand-in of a mechanism noted.
    """

    time: float
    asset: str
    trigger: str
    verdict: str
    plan: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "time": round(self.time, 3),
            "asset": self.asset,
            "trigger": self.trigger,
            "verdict": self.verdict,
            "plan": dict(self.plan),
            "message": self.message,
        }


class SimulatedTelemetry:
    """``telemetry["query"]`` over the readings so far."""

    def __init__(self, start: float) -> None:
        self._start = start
        self._readings: list[Reading] = []
        self.now = 0.0

    def add(self, reading: Reading) -> None:
        """Let a reading be known."""
        self._readings.append(reading)

    def __call__(self, metric: str, attributes: Mapping[str, str] | None = None) -> float | None:
        """Return the newest value of a metric, or None."""
        return self.latest(metric, attributes)

    def latest(self, metric: str, attributes: Mapping[str, str] | None = None) -> float | None:
        """Return the newest value of a metric with these attributes, or None."""
        for reading in reversed(self._readings):
            if reading.metric == metric and _has(reading, attributes):
                return reading.value
        return None

    def window(
        self, metric: str, seconds: float = 300.0, attributes: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Return the values of the last seconds, oldest first."""
        return [
            {"time": self._start + item.time, "value": item.value, "attributes": dict(item.attributes)}
            for item in self._readings
            if item.metric == metric and item.time >= self.now - seconds and _has(item, attributes)
        ]

    def list(self) -> Sequence[str]:
        """Return the names of all metrics seen."""
        return sorted({reading.metric for reading in self._readings})


async def replay(
    name: str,
    policy: Policy,
    scenario: Scenario,
    *,
    begun: Callable[[float, str, str], None] | None = None,
    ended: Callable[[Replayed], None] | None = None,
) -> list[Replayed]:
    """Run a policy through a scenario.

    Args:
        name: The policy's name.
        policy: The policy.
        scenario: What it is shown.
        begun: Told of every turn before it begins: time, asset and trigger.
        ended: Told of every turn when it is over.

    Raises:
        PluginError: `initialize` fails or declares nonsense.
    """
    try:
        first = policy.initialize()
    except Exception as exc:  # user code: whatever it raises makes the policy unusable
        raise PluginError(f"policy {name}: initialize() failed: {type(exc).__name__}: {exc}") from exc
    declaration = Declaration.from_context(first, plugin=name)
    per_application = declaration.scope is Scope.APPLICATION
    assets = [app["name"] for app in scenario.applications] if per_application else [declaration.scope.value]
    contexts = {asset: copy.deepcopy(first) for asset in assets}
    telemetry = SimulatedTelemetry(scenario.start)
    mechanisms = copy.deepcopy(scenario.mechanisms)
    found: list[Replayed] = []
    for time, reading in _moments(scenario, declaration):
        telemetry.now = time
        if reading is not None:
            telemetry.add(reading)
            if declaration.metrics and reading.metric not in declaration.metrics:
                continue
        trigger = f"telemetry: {reading.metric} = {reading.value:g}" if reading else "start" if time == 0 else "timer"
        for asset in assets:
            apps = [app for app in scenario.applications if not per_application or app["name"] == asset]
            if begun is not None:
                begun(time, asset, trigger)
            turn = await _turn(time, asset, trigger, policy, contexts, apps, scenario, mechanisms, telemetry)
            if ended is not None:
                ended(turn)
            found.append(turn)
    return found


async def _turn(
    time: float,
    asset: str,
    trigger: str,
    policy: Policy,
    contexts: dict[str, dict[str, Any]],
    apps: Sequence[dict[str, Any]],
    scenario: Scenario,
    mechanisms: dict[str, dict[str, Any]],
    telemetry: SimulatedTelemetry,
) -> Replayed:
    from .asking import Telemetry

    arguments = (
        copy.deepcopy(list(apps)),
        copy.deepcopy(scenario.system),
        copy.deepcopy(mechanisms),
        Telemetry(telemetry),
        None,
    )
    try:
        needed, contexts[asset] = await policy.analyze(contexts[asset], *arguments)
        if not needed:
            return Replayed(time, asset, trigger, "no-change")
        plan, contexts[asset] = await policy.plan(contexts[asset], *arguments)
    except Exception as exc:  # noqa: BLE001 -- user code: its faults are what the replay is to show
        return Replayed(time, asset, trigger, "error", message=f"{type(exc).__name__}: {exc}")
    if not plan:
        return Replayed(time, asset, trigger, "no-plan")
    notes = [note for mechanism, command in plan.items() if (note := _act(mechanisms, mechanism, command))]
    return Replayed(time, asset, trigger, "adapt", plan, "; ".join(notes))


def _moments(scenario: Scenario, declaration: Declaration) -> Iterator[tuple[float, Reading | None]]:
    """Yield when the policy is asked: at the start, with every reading, and after each interval without one."""
    yield 0.0, None
    last, interval = 0.0, declaration.analyze_interval
    for reading in (*scenario.readings, None):
        end = reading.time if reading is not None else scenario.duration
        while interval and last + interval < end:
            last += interval
            yield last, None
        if reading is not None:
            last = reading.time
            yield last, reading


def _act(mechanisms: dict[str, dict[str, Any]], name: str, command: Any) -> str:
    """Let a command take effect on a mechanism's state, as far as that is known."""
    if name not in mechanisms:
        return f"the scenario has no mechanism {name}"
    if name not in _PLACEMENT or not isinstance(command, Mapping) or "deployment_plan" not in command:
        return ""
    applications = mechanisms[name]["state"].setdefault("applications", {})
    components = applications.setdefault(str(command.get("name")), {}).setdefault("components", {})
    for component, actions in command["deployment_plan"].items():
        if component == "initial_plan":
            continue
        for action in [actions] if isinstance(actions, Mapping) else actions or ():
            entry = components.setdefault(component, {"node_placed": None})
            if action.get("action") == "remove":
                entry["node_placed"] = None
            else:
                entry["node_placed"] = action.get("target_host") or action.get("host") or entry["node_placed"]
    return ""


def _read(item: Any, index: int, duration: float) -> Iterator[Reading]:
    where = f"telemetry[{index}]"
    if not isinstance(item, Mapping) or not isinstance(item.get("metric"), str):
        raise InvalidInput(f"{where} needs a metric")
    attributes = {str(key): str(value) for key, value in (item.get("attributes") or {}).items()}
    metric = item["metric"]
    if "values" in item:
        for pair in item["values"]:
            if not isinstance(pair, Sequence) or len(pair) != 2:
                raise InvalidInput(f"{where}.values: {pair!r} is no pair of time and value")
            yield Reading(_seconds(pair[0], f"{where}.values"), metric, float(pair[1]), attributes)
        return
    shape = item.get("shape", "constant")
    if shape not in _SHAPES:
        raise InvalidInput(f"{where}: shape {shape!r} is unknown", hint=f"values, or one of {', '.join(_SHAPES)}")
    every = _seconds(item.get("every", 5), f"{where}.every")
    if every <= 0 or duration / every > _MAX_SAMPLES:
        raise InvalidInput(f"{where}.every must be more than 0 and give at most {_MAX_SAMPLES} values")
    low, high = float(item.get("from", 0.0)), float(item.get("to", item.get("from", 0.0)))
    at = _seconds(item.get("at", duration / 2), f"{where}.at")
    period = _seconds(item.get("period", duration), f"{where}.period") or 1.0
    for number in range(int(duration // every) + 1):
        time = number * every
        part = {
            "constant": 0.0,
            "ramp": time / duration if duration else 0.0,
            "step": 1.0 if time >= at else 0.0,
            "sine": 0.5 - 0.5 * math.cos(2 * math.pi * time / period),
        }[shape]
        yield Reading(time, metric, low + (high - low) * part, attributes)


def _seconds(value: Any, where: str) -> float:
    try:
        return parse_interval(value)
    except PluginError as exc:
        raise InvalidInput(f"{where}: {exc.message}") from exc


def _has(reading: Reading, attributes: Mapping[str, str] | None) -> bool:
    return all(reading.attributes.get(key) == value for key, value in (attributes or {}).items())
