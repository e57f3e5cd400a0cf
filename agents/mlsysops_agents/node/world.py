"""What policies and mechanisms of a node see of the world, and what they may ask of their agent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlsysops_core.contracts import AgentIdentity, Clock, Objects, PlacementOutcome, Rejected, Telemetry
from mlsysops_core.errors import MlsError
from mlsysops_core.plugins import LoadedPolicy

from mlsysops_agents.adapters.kubernetes import KubernetesObjects
from mlsysops_agents.adapters.telemetry import TelemetryStore, telemetry_argument
from mlsysops_agents.loop import explain

__all__ = ["NodeHandle", "NodeWorld", "components_here"]

_APP = "MLSysOpsApp"
_NODE = "MLSysOpsNode"


def components_here(application: Mapping[str, Any], node: str) -> list[str]:
    """Names of the components that an application's status puts on a node."""
    components = (application.get("status") or {}).get("components") or []
    return [str(component["name"]) for component in components if component.get("node") == node]


class NodeWorld:
    """The loop's `Inputs` on a node.

    Args:
        agent: Whose world it is.
        objects: Its control plane; applications and the node's own description are followed.
        telemetry: Metrics that reach it.
    """

    def __init__(self, agent: AgentIdentity, objects: KubernetesObjects, telemetry: TelemetryStore) -> None:
        self._agent = agent
        self._objects = objects
        self._telemetry = telemetry

    def applications(self) -> list[dict[str, Any]]:
        """Applications with a component on this node."""
        return [app for app in self._objects.items(_APP) if components_here(app, self._agent.name)]

    def application_description(self, asset: str) -> list[dict[str, Any]]:
        """The application named, or all on this node where the asset is no application."""
        apps = self.applications()
        named = [app for app in apps if f"application/{app['metadata']['name']}" == asset]
        return [{"name": app["metadata"]["name"], "spec": app.get("spec") or {}} for app in named or apps]

    def system_description(self, asset: str) -> dict[str, Any]:
        """The node's description, wrapped as users write it; empty while there is none."""
        node = self._objects.get(_NODE, self._agent.name)
        return {_NODE: {"name": self._agent.name, **(node.get("spec") or {})}} if node else {}

    def telemetry(self, policy: LoadedPolicy, asset: str) -> dict[str, Any]:
        """The telemetry argument."""
        return telemetry_argument(self._telemetry, policy.declaration.metrics)

    def ml_connector(self) -> Any:
        """None: a node has no connector to models yet."""
        return None

    def snapshot(self, asset: str, metrics: Sequence[str] = ()) -> dict[str, Any]:
        """Newest values of the node's own metrics and of those that are asked for."""
        own = ("system.cpu.utilization", "system.cpu.load_average.1m", "system.memory.utilization")
        names = dict.fromkeys((*own, *metrics))
        found = {name: self._telemetry.latest(name) for name in names}
        return {name: sample.value for name, sample in found.items() if sample is not None}


class NodeHandle:
    """The `PluginHandle` of a node's plug-ins.

    Args:
        agent: The agent.
        clock: Its time.
        objects: Its control plane.
        telemetry: Its metrics.
        root: Where the host's root directory is.
        state_dir: Directory of the agent that outlives it; None for one that remembers nothing.
    """

    def __init__(
        self,
        agent: AgentIdentity,
        clock: Clock,
        objects: Objects,
        telemetry: Telemetry,
        *,
        root: Path = Path("/"),
        state_dir: Path | None = None,
    ) -> None:
        self.agent = agent
        self.clock = clock
        self.objects = objects
        self.telemetry = telemetry
        self.root = root
        self._state_dir = state_dir
        self._requests: dict[str, dict[str, Any]] = {}
        #: Set by the agent once its loop exists.
        self.on_notify: Callable[[str, str], None] | None = None
        #: Called when what the node asks its cluster for has changed; from any thread.
        self.on_requests: Callable[[], None] | None = None

    @property
    def state_dir(self) -> Path:
        """Directory of the agent that outlives it."""
        if self._state_dir is None:
            raise MlsError("this agent has no directory for its state")
        return self._state_dir

    def requests(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the changes of components that this node asks its cluster for, by key."""
        return self._requests

    def request(self, key: str, change: Mapping[str, Any] | None) -> None:
        """Ask the cluster for a change of a component's specification, or with None no longer."""
        # Replaced as a whole: mechanisms act in threads, and others may be reading.
        requests = {name: value for name, value in self._requests.items() if name != key}
        self._requests = requests if change is None else {**requests, key: dict(change)}
        if self.on_requests is not None:
            self.on_requests()

    def remember(self, requests: Iterable[Mapping[str, Any]]) -> None:
        """Take up the requests that an earlier process of this agent left in the node's status."""
        self._requests = {
            str(item["key"]): {name: value for name, value in item.items() if name != "key"} for item in requests
        }

    def place(self, application: str) -> PlacementOutcome:
        """A node places nothing."""
        raise MlsError(f"{application}: a node agent places no components")

    def recheck(self, application: str) -> Mapping[str, Rejected]:
        """A node places nothing."""
        raise MlsError(f"{application}: a node agent places no components")

    def alternatives(self, application: str, component: str) -> PlacementOutcome:
        """A node places nothing."""
        raise MlsError(f"{application}/{component}: a node agent places no components")

    def better(self, application: str) -> PlacementOutcome | None:
        """Return nothing: a node places no components."""
        return None

    def objection(self, application: str, component: str, host: str) -> Rejected | None:
        """A node places nothing."""
        raise MlsError(f"{application}/{component}: a node agent places no components")

    def assigned(self, application: str) -> Sequence[str]:
        """Components of the application on this node."""
        app = self.objects.get(_APP, application)
        return components_here(app, self.agent.name) if app else []

    def explain(self, *, rejected: Iterable[Rejected] = (), message: str = "", component: str | None = None) -> None:
        """Add to the record of the decision being made now."""
        explain(rejected=rejected, message=message, component=component)

    def notify(self, application: str, reason: str) -> None:
        """Ask for a new analysis of an application (or of the node, by its name)."""
        if self.on_notify is not None:
            self.on_notify(application, reason)
