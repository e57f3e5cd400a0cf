"""What the rooms of the agents promise each other: protocols and the few values that cross them.

Policies decide, mechanisms act, adapters do the input and output. Everything that crosses between them is
named here, so that a user's plug-in needs to import nothing but this module, and tests can replace any
adapter by a small object in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol, runtime_checkable

__all__ = [
    "AgentIdentity",
    "Clock",
    "KnowledgeStore",
    "MLConnector",
    "Mechanism",
    "Object",
    "Objects",
    "Outcome",
    "PlacementOutcome",
    "PluginHandle",
    "Policy",
    "PolicyContext",
    "Rejected",
    "Sample",
    "Scope",
    "Telemetry",
    "Tier",
]

Tier = Literal["continuum", "cluster", "node", "far_edge"]
#: A JSON object as Kubernetes serves it.
Object = dict[str, Any]


class Scope(StrEnum):
    """What one analysis of a policy looks after."""

    APPLICATION = "application"
    NODE = "node"
    CLUSTER = "cluster"
    CONTINUUM = "continuum"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class AgentIdentity:
    """Who an agent is.

    Attributes:
        tier: The agent's tier.
        name: Continuum id, cluster id or node name.
        namespace: Where applications and descriptions live.
        framework_namespace: Where the framework's own objects (Leases) live.
    """

    tier: Tier
    name: str
    namespace: str = "mlsysops"
    framework_namespace: str = "mlsysops-framework"


class Clock(Protocol):
    """Time as the loop sees it; tests give one that a test turns by hand."""

    def time(self) -> float:
        """Return seconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds of this clock."""
        ...


# --- telemetry --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """The newest value of one series.

    Attributes:
        metric: Metric name as the source gave it.
        value: The value.
        time: Seconds since the Unix epoch when it was observed.
        attributes: Resource and point attributes together, e.g. ``service.name``, ``k8s.pod.name``, ``host.name``.
    """

    metric: str
    value: float
    time: float
    attributes: Mapping[str, str] = field(default_factory=dict)


class Telemetry(Protocol):
    """Newest values of the metrics that reach an agent."""

    def latest(self, metric: str, **attributes: str) -> Sample | None:
        """Return the newest sample of a metric whose attributes include the given ones.

        Attribute names are written with ``_`` for ``.`` (``service_name=…`` means ``service.name``).
        """
        ...

    def series(self, metric: str) -> Sequence[Sample]:
        """Return the newest sample of every series of a metric."""
        ...

    def metrics(self) -> Sequence[str]:
        """Return the names of all metrics seen."""
        ...

    def subscribe(self, callback: Callable[[Sequence[Sample]], None]) -> Callable[[], None]:
        """Call back with each batch of samples as it arrives; returns what ends the subscription."""
        ...


# --- Kubernetes -------------------------------------------------------------------------------------------


class Objects(Protocol):
    """The Kubernetes objects that a plug-in may see and write, by kind; namespaced ones in the agent's namespace.

    Reading is from caches that watches keep fresh (treat what you get as read-only); writing goes to the API and raises
    the errors of `mlsysops_core.errors`, of which `Unreachable`, `TimedOut` and `Conflict` are worth a retry.
    """

    def get(self, kind: str, name: str) -> Object | None:
        """Return one cached object, or None."""
        ...

    def items(self, kind: str) -> Sequence[Object]:
        """Return all cached objects of a kind."""
        ...

    def labelled(self, kind: str, label: str, value: str) -> Sequence[Object]:
        """Return the cached objects of a kind that have a label; what it costs does not grow with the others."""
        ...

    async def apply(self, obj: Mapping[str, Any], *, field_manager: str) -> Object:
        """Server-side apply (``apiVersion``, ``kind`` and ``metadata.name`` given), taking over the fields named."""
        ...

    async def resize(self, pod: str, resources: Mapping[str, Mapping[str, Any]], *, field_manager: str) -> Object:
        """Change CPU and memory of a pod's containers while they run (``resources`` by container, as in its spec).

        Raises:
            NotFound: The pod is gone, or the API server does not serve pods/resize (Kubernetes before 1.33).
            Refused: The pod's node has less in all, or the agent may not.
            InvalidInput: The change is none that can be made in place.
        """
        ...

    async def annotate(
        self, kind: str, name: str, annotations: Mapping[str, str | None], *, field_manager: str
    ) -> Object:
        """Set (or with None remove) annotations of an object that exists."""
        ...

    async def delete(self, kind: str, name: str, *, uid: str | None = None) -> bool:
        """Delete in the background (only the object with that uid, where given); False where it was not there."""
        ...

    async def event(
        self, regarding: Mapping[str, Any], *, kind: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        """Record an Event on an object; a failure to do so is logged, never raised."""
        ...


# --- decisions --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why one candidate was not taken."""

    candidate: str
    filter: str
    reason: str
    component: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the wire form of a decision's ``rejected`` entry."""
        return {"candidate": self.candidate, "filter": self.filter, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class PlacementOutcome:
    """Where components could go, and what stood against the other places.

    Attributes:
        assignments: Component to host (node or cluster), those that fit somewhere.
        rejected: What each component's candidates failed at.
        explain: Component to one line, e.g. ``0/2 nodes fit: 1 removed by architecture (needs arm64, is amd64)``.
        scores: Component to the scores of the hosts that fit.
    """

    assignments: Mapping[str, str]
    rejected: Sequence[Rejected] = ()
    explain: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def unplaced(self) -> tuple[str, ...]:
        """Components that fit nowhere."""
        return tuple(name for name in self.explain if name not in self.assignments)

    def outscored(self, most: int = 5) -> list[Rejected]:
        """Return hosts that would do and were not taken, the best first: by how much others scored higher.

        Args:
            most: How many are told for each component.
        """
        told = []
        for component, host in self.assignments.items():
            table = self.scores.get(component, {})
            others = sorted((name for name in table if name != host), key=lambda name: -table[name])
            ours = f"{host} has {table[host]:.3f}" if host in table else f"{host} is taken"
            told += [Rejected(name, "score", f"{table[name]:.3f}; {ours}", component) for name in others[:most]]
        return told


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command that a mechanism was given.

    Attributes:
        ok: Whether the command took effect.
        message: One line for people.
        details: More for machines.
        undo: The command that takes back what was done, also of what was done by half where `ok` is False; None where the
            mechanism cannot take it back, or there is nothing to.
    """

    ok: bool
    message: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    undo: Mapping[str, Any] | None = None


class PolicyContext(dict[str, Any]):
    """A policy's context for one asset; a dict to the policy, and to what runs it somewhere else a name and a version.

    Args:
        asset: The asset.
        values: What is in it.
    """

    def __init__(self, asset: str, values: Mapping[str, Any] | None = None) -> None:
        super().__init__(values or {})
        self.asset = asset
        #: Counts the calls that changed it where the policy runs; 0 where only these values are known.
        self.generation = 0


class KnowledgeStore(Protocol):
    """What an agent remembers across its own restarts."""

    def record(self, decision: Mapping[str, Any]) -> None:
        """Keep a decision (keys as in ``MLSysOpsApp.status.decisions`` and more)."""
        ...

    def decisions(self, asset: str | None = None, *, limit: int = 20) -> Sequence[dict[str, Any]]:
        """Return the newest decisions first."""
        ...

    def save_context(self, policy: str, asset: str, context: Mapping[str, Any]) -> None:
        """Keep a policy's context for an asset."""
        ...

    def load_context(self, policy: str, asset: str) -> dict[str, Any] | None:
        """Return the context kept last, or None."""
        ...

    def forget(self, asset: str) -> None:
        """Drop the contexts of an asset that is gone; its decisions stay until they age out."""
        ...

    def begin(self, plan_id: str, plan: Mapping[str, Any]) -> None:
        """Write down that a plan is about to be executed.

        Raises:
            MlsError: It cannot be written down; the plan must not be executed.
        """
        ...

    def finish(self, plan_id: str, outcome: str) -> None:
        """Write down how it ended; the note goes when the decision of the same id is recorded."""
        ...

    def interrupted(self) -> Sequence[dict[str, Any]]:
        """Return plans of which no decision tells, each once; ``outcome`` is None where they were never finished."""
        ...

    def forget_policy(self, name: str, *, but: str = "") -> None:
        """Drop the contexts of a policy, but not those of its version ``but``."""
        ...

    def retain(self, assets: Set[str], policies: Set[str]) -> None:
        """Drop contexts of assets that are gone, and of policies (``name@version``) that have not been here for long."""
        ...

    def hold(self, asset: str, state: Mapping[str, Any]) -> None:
        """Remember that an asset is left alone because it swings."""
        ...

    def holds(self) -> Mapping[str, dict[str, Any]]:
        """Return the assets that were left alone, and what was remembered of each."""
        ...

    def release(self, asset: str) -> None:
        """Forget that an asset was left alone."""
        ...

    def close(self) -> None:
        """Release the store."""
        ...


class MLConnector(Protocol):
    """Access to deployed models."""

    async def predict(self, model: str, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask a model."""
        ...


# --- plug-ins ---------------------------------------------------------------------------------------------


class PluginHandle(Protocol):
    """All that a built-in or a user's typed plug-in can reach of its agent."""

    @property
    def agent(self) -> AgentIdentity:
        """The agent that runs the plug-in."""
        ...

    @property
    def clock(self) -> Clock:
        """The agent's time."""
        ...

    @property
    def objects(self) -> Objects:
        """Objects of the agent's own API."""
        ...

    @property
    def telemetry(self) -> Telemetry:
        """The metrics that reach the agent."""
        ...

    def place(self, application: str) -> PlacementOutcome:
        """Find a host for each component that this tier is to place; what is placed already stays if it still fits."""
        ...

    def recheck(self, application: str) -> Mapping[str, Rejected]:
        """Return the placed components whose host no longer fits, and why."""
        ...

    def alternatives(self, application: str, component: str) -> PlacementOutcome:
        """Find another host for one placed component; its present host takes part in the scores."""
        ...

    def better(self, application: str) -> PlacementOutcome | None:
        """Return where placed components had better be, where a search in the background has found that its moves pay.

        Asking begins a search; what it finds is told by a new analysis of the application.
        """
        ...

    def objection(self, application: str, component: str, host: str) -> Rejected | None:
        """Say why a host cannot take a component, beside what runs there; None where it can."""
        ...

    def assigned(self, application: str) -> Sequence[str]:
        """Return the names of the components that this agent looks after."""
        ...

    def explain(self, *, rejected: Iterable[Rejected] = (), message: str = "", component: str | None = None) -> None:
        """Add to the record of the decision being made now."""
        ...

    def notify(self, application: str, reason: str) -> None:
        """Ask for a new analysis of an application."""
        ...


@runtime_checkable
class Policy(Protocol):
    """Decides. A module file with three functions of these names is one too.

    Typed classes found by entry point are made with ``cls(handle: PluginHandle)`` and say in ``tiers`` which
    agents run them.
    """

    def initialize(self) -> dict[str, Any]:
        """Return the first context: ``telemetry.metrics``, ``mechanisms``, ``packages``, ``configuration``, ``scope``, ``core``."""
        ...

    async def analyze(
        self,
        context: dict[str, Any],
        application_description: list[dict[str, Any]],
        system_description: dict[str, Any],
        mechanisms: dict[str, dict[str, Any]],
        telemetry: dict[str, Any],
        ml_connector: Any,
    ) -> tuple[bool, dict[str, Any]]:
        """Say whether a plan is needed, and return the context to keep."""
        ...

    async def plan(
        self,
        context: dict[str, Any],
        application_description: list[dict[str, Any]],
        system_description: dict[str, Any],
        mechanisms: dict[str, dict[str, Any]],
        telemetry: dict[str, Any],
        ml_connector: Any,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return commands by mechanism name (empty: nothing to do after all), and the context to keep."""
        ...


@runtime_checkable
class Mechanism(Protocol):
    """Acts. Typed classes found by entry point are made with ``cls(handle: PluginHandle)``."""

    async def apply(self, command: Mapping[str, Any]) -> Outcome:
        """Carry out a command; doing it twice must be the same as once.

        Raises:
            mlsysops_core.errors.Unreachable, TimedOut, Conflict: transient, tried again later.
            mlsysops_core.errors.MlsError: the command cannot be carried out.
        """
        ...

    def assets(self, command: Mapping[str, Any]) -> frozenset[str]:
        """Return what a command touches; two plans never touch the same asset in one cycle."""
        ...

    def check(self, command: Mapping[str, Any]) -> str:
        """Say why a command no longer makes sense; empty where it still does."""
        ...

    def get_state(self) -> dict[str, Any]:
        """Return what the mechanism looks after, as policies see it in ``mechanisms[name]["state"]``."""
        ...

    def get_status(self) -> dict[str, Any]:
        """Return the mechanism's own health."""
        ...

    def get_options(self) -> dict[str, Any]:
        """Return what commands are possible, as policies see it in ``mechanisms[name]["options"]``."""
        ...
