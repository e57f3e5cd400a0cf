"""What both upper tiers know: applications, where the continuum has put their components, and what counts how much."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from mlsysops_core.contracts import AgentIdentity, Objects, Telemetry
from mlsysops_core.errors import InvalidInput
from mlsysops_core.model import Application
from mlsysops_core.plugins import LoadedPolicy

from mlsysops_agents.adapters.telemetry import TelemetryStore, telemetry_argument
from mlsysops_agents.extension.concerns import ASSET
from mlsysops_agents.placement import Descriptions, Weights, with_targets

__all__ = ["APP", "ASSET", "COMPONENT_CLUSTERS", "UpperWorld", "component_clusters"]

APP = "MLSysOpsApp"
COMPONENT_CLUSTERS = "mlsysops.eu/component-clusters"


class UpperWorld(ABC):
    """The loop's `Inputs`, and more; everything here is read from caches, nothing waits.

    Args:
        agent: The agent.
        objects: Its caches.
        telemetry: The metrics that reach it.
        weights: What counts how much.
    """

    def __init__(
        self, agent: AgentIdentity, objects: Objects, telemetry: Telemetry, *, weights: Weights | None = None
    ) -> None:
        self._agent = agent
        self._objects = objects
        self._telemetry = telemetry
        self._weights = weights or Weights()
        #: Targets of the slice, as the settings have them.
        self.targets: Callable[[], Sequence[Mapping[str, Any]]] = tuple
        self.descriptions = Descriptions()

    def application(self, name: str) -> Application | None:
        """Return an application's description; None where it is gone or does not validate."""
        return self.descriptions.get(self._objects.get(APP, name), Application)

    def must_have(self, name: str) -> Application:
        """Return an application's description.

        Raises:
            InvalidInput: It is gone or does not validate.
        """
        application = self.application(name)
        if application is None:
            fault = self.descriptions.fault(self._objects.get(APP, name))
            raise InvalidInput(f"application {name}: {fault or 'is gone'}")
        return application

    def weights(self) -> Weights:
        """Return what counts how much under the slice's targets."""
        return with_targets(self._weights, [str(item.get("metric")) for item in self.targets()])

    def on_node(self, node: str) -> Collection[str] | None:
        """Return the applications with a component on a node; None where the tier does not know."""
        return None

    # -- what policies are shown -------------------------------------------------------------------------------

    def measured(self, asset: str, metrics: Sequence[str] = ()) -> dict[str, float]:
        """Return the newest values of the metrics that targets of an application and a policy look at.

        Args:
            asset: The asset; where it is no application, only `metrics` count.
            metrics: What a policy declares to look at.

        Returns:
            Values by ``COMPONENT/METRIC``, or ``METRIC`` where no component of the application measures it.
        """
        application = self.application(asset.removeprefix(ASSET)) if asset.startswith(ASSET) else None
        found: dict[str, float] = {}
        for component in application.components if application is not None else ():
            targets = [metric.application_metric_id for metric in component.qos_metrics]
            for metric in dict.fromkeys([*targets, *metrics]):
                sample = self._telemetry.latest(metric, service_name=component.name)
                if sample is not None:
                    found[f"{component.name}/{metric}"] = sample.value
        for metric in metrics:
            sample = self._telemetry.latest(metric)
            if sample is not None and not any(name.endswith(f"/{metric}") for name in found):
                found[metric] = sample.value
        return found

    def application_description(self, asset: str) -> list[dict[str, Any]]:
        """Return the application of an asset; all of them where the asset is no application."""
        if asset.startswith(ASSET):
            one = self._objects.get(APP, asset.removeprefix(ASSET))
            items: Sequence[Mapping[str, Any]] = [one] if one is not None else []
        else:
            items = self._objects.items(APP)
        return [{"name": item["metadata"]["name"], "spec": item.get("spec") or {}} for item in items]

    @abstractmethod
    def system_description(self, asset: str) -> dict[str, Any]:
        """Return the tier's own wrapped description."""

    @abstractmethod
    def snapshot(self, asset: str, metrics: Sequence[str] = ()) -> dict[str, Any]:
        """Return what a decision was made from."""

    def telemetry(self, policy: LoadedPolicy, asset: str) -> dict[str, Any]:
        """Return the telemetry argument."""
        if isinstance(self._telemetry, TelemetryStore):
            return telemetry_argument(self._telemetry, policy.declaration.metrics)
        return {"query": self._telemetry.latest, "dataframe": None}

    def ml_connector(self) -> Any:
        """Return None: there is no connector to models yet."""
        return None


def component_clusters(obj: Mapping[str, Any] | None) -> dict[str, str]:
    """Return component to cluster as an application's annotation has it; what is no mapping counts as nothing."""
    text = (obj["metadata"].get("annotations") or {}).get(COMPONENT_CLUSTERS) if obj is not None else None
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return {str(name): str(cluster) for name, cluster in value.items()} if isinstance(value, dict) else {}
