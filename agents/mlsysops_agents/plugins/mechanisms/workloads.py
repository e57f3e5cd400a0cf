"""From a component's description to the Kubernetes objects that run it: ConfigMap, Service, Deployment.

Restart policies: pods of a Deployment always restart (Kubernetes allows nothing else), and only a Deployment can be moved,
watched and replaced without a gap. Components that ask for OnFailure or Never therefore run as Deployments too; the annotation
``mlsysops.eu/restart-policy`` keeps what was asked for, and the component's status says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from mlsysops_core.model import Component
from mlsysops_core.model.containers import Container, EnvironmentVariable
from mlsysops_core.model.sensors import kinds_of

__all__ = ["HASH", "LABEL_APPLICATION", "LABEL_COMPONENT", "OVERRIDE", "Workload", "component_hash", "workload_name"]

LABEL_APPLICATION = "mlsysops.eu/app"
LABEL_COMPONENT = "mlsysops.eu/component"
#: Hash of the description that a Deployment was made from.
HASH = "mlsysops.eu/component-hash"
#: A specification that a policy put in the place of the description's (JSON).
OVERRIDE = "mlsysops.eu/component-spec"
RESTART_POLICY = "mlsysops.eu/restart-policy"
_HOSTNAME = "kubernetes.io/hostname"
_GPU = "nvidia.com/gpu"
#: Seconds that a program may take until it listens: as long as it wants, since one that is slow is not to be killed.
_PATIENCE = 2**31 - 1
_CONFIG_VOLUME = "runtime-configuration"


def workload_name(application: str, component: str) -> str:
    """Return the name of a component's Deployment."""
    return f"{application}-{component}"


def component_hash(component: Mapping[str, Any]) -> str:
    """Return what changes when a component's description does; where it may be placed is none of its pods' business."""
    kept = {
        key: value for key, value in component.items() if key not in {"node_placement", "qos_metrics", "depends_on"}
    }
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Workload:
    """One component on its node.

    Attributes:
        owner: The MLSysOpsApp.
        component: The component.
        hash: Hash of its description.
        node: Where it runs.
        override: The specification a policy gave it, where one did.
        sensor_endpoints: Sensor kind to endpoint on that node.
    """

    owner: Mapping[str, Any]
    component: Component
    hash: str
    node: str
    override: Mapping[str, Any] | None = None
    sensor_endpoints: Mapping[str, str] | None = None

    @property
    def application(self) -> str:
        """Name of the application."""
        return str(self.owner["metadata"]["name"])

    @property
    def name(self) -> str:
        """Name of the Deployment and ConfigMap."""
        return workload_name(self.application, self.component.name)

    def objects(self) -> list[dict[str, Any]]:
        """Return all objects, in the order in which they must be written: pods get the addresses of Services that exist."""
        found = [self._config_map(), self._service(), self._deployment()]
        return [item for item in found if item is not None]

    def _metadata(self, name: str) -> dict[str, Any]:
        metadata = self.owner["metadata"]
        return {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": self._labels(),
            "ownerReferences": [
                {
                    "apiVersion": self.owner["apiVersion"],
                    "kind": self.owner["kind"],
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                }
            ],
        }

    def _labels(self) -> dict[str, str]:
        return {
            "app.kubernetes.io/name": self.component.name,
            "app.kubernetes.io/part-of": self.application,
            "app.kubernetes.io/managed-by": "mlsysops",
            **self._selector(),
        }

    def _selector(self) -> dict[str, str]:
        return {LABEL_APPLICATION: self.application, LABEL_COMPONENT: self.component.name}

    def _config_map(self) -> dict[str, Any] | None:
        configuration = self.component.runtime_configuration
        if configuration is None or not configuration.config_specification_file or not configuration.config_file_path:
            return None
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": self._metadata(self.name),
            "data": {_file_name(configuration.config_file_path): configuration.config_specification_file},
        }

    def _service(self) -> dict[str, Any] | None:
        ports = [port for container in self.component.containers for port in container.ports]
        if not ports:
            return None
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": self._metadata(self.component.name),
            "spec": {
                "selector": self._selector(),
                "ports": [
                    {
                        "name": port.name or _port_name(port.container_port, port.protocol),
                        "port": port.container_port,
                        "targetPort": port.container_port,
                        "protocol": port.protocol or "TCP",
                    }
                    for port in ports
                ],
            },
        }

    def _deployment(self) -> dict[str, Any]:
        metadata = self._metadata(self.name)
        annotations = {HASH: self.hash}
        policy = self.component.restart_policy
        if policy is not None and policy != "Always":
            annotations[RESTART_POLICY] = policy
        if self.override is not None:
            annotations[OVERRIDE] = json.dumps(self.override, sort_keys=True)
        metadata["annotations"] = annotations
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": 1,
                "revisionHistoryLimit": 2,
                "selector": {"matchLabels": self._selector()},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": self._rolling_update()},
                "template": {"metadata": {"labels": self._labels()}, "spec": self._pod()},
            },
        }

    def _rolling_update(self) -> dict[str, int]:
        """Start the new pod before the old one stops, unless both need the same port of one host."""
        host_ports = any(port.host_port for container in self.component.containers for port in container.ports)
        if self.component.host_network or host_ports:
            return {"maxSurge": 0, "maxUnavailable": 1}
        return {"maxSurge": 1, "maxUnavailable": 0}

    def _pod(self) -> dict[str, Any]:
        component = self.component
        config = self._config_map() is not None
        pod: dict[str, Any] = {
            "nodeSelector": {_HOSTNAME: self.node},
            "restartPolicy": "Always",
            "containers": [
                self._container(container, index, config=config) for index, container in enumerate(component.containers)
            ],
        }
        if component.host_network:
            pod |= {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
        if component.runtime_class_name not in (None, "default"):
            pod["runtimeClassName"] = component.runtime_class_name
        if config:
            pod["volumes"] = [{"name": _CONFIG_VOLUME, "configMap": {"name": self.name}}]
        return pod

    def _container(self, container: Container, index: int, *, config: bool) -> dict[str, Any]:
        built: dict[str, Any] = {
            "name": self.component.name if index == 0 else f"{self.component.name[:60]}-{index}",
            "image": container.image,
        }
        if container.command:
            built["command"] = list(container.command)
        if container.image_pull_policy is not None:
            built["imagePullPolicy"] = container.image_pull_policy
        environment = [_variable(item) for item in container.env] + self._sensor_variables()
        if environment:
            built["env"] = environment
        if container.ports:
            built["ports"] = [
                {
                    "name": port.name or _port_name(port.container_port, port.protocol),
                    "containerPort": port.container_port,
                    "protocol": port.protocol or "TCP",
                    **({"hostPort": port.host_port} if port.host_port else {}),
                    **({"hostIP": port.host_ip} if port.host_ip else {}),
                }
                for port in container.ports
            ]
        listening = next((port.container_port for port in container.ports if (port.protocol or "TCP") == "TCP"), None)
        if listening is not None:
            # The old pod goes when the new one is Ready, and that it is when it listens, not when its program has begun.
            built["startupProbe"] = {
                "tcpSocket": {"port": listening},
                "periodSeconds": 1,
                "failureThreshold": _PATIENCE,
            }
        if resources := _resources(container):
            built["resources"] = resources
        configuration = self.component.runtime_configuration
        if config and configuration is not None and configuration.config_file_path:
            path = configuration.config_file_path
            built["volumeMounts"] = [
                {"name": _CONFIG_VOLUME, "mountPath": path, "subPath": _file_name(path), "readOnly": True}
            ]
        return built

    def _sensor_variables(self) -> list[dict[str, Any]]:
        """Return where to read the sensors: the variable the description names, with the node's endpoint."""
        endpoints = self.sensor_endpoints or {}
        return [
            {"name": sensor.endpoint_variable, "value": endpoints[kind]}
            for sensor in self.component.sensors
            for kind in kinds_of(sensor)
            if sensor.endpoint_variable and kind in endpoints
        ]


def _variable(variable: EnvironmentVariable) -> dict[str, Any]:
    if variable.value_from is not None:
        return {
            "name": variable.name,
            "valueFrom": {"fieldRef": {"fieldPath": variable.value_from.field_ref.field_path}},
        }
    return {"name": variable.name, "value": variable.value or ""}


def _resources(container: Container) -> dict[str, Any]:
    needs = container.requirements
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    for name, need in (("cpu", needs.cpu), ("memory", needs.memory)):
        if need is not None and need.requests is not None:
            requests[name] = need.requests
        if need is not None and need.limits is not None:
            limits[name] = need.limits
    gpus = (needs.gpu.limits or needs.gpu.requests) if needs.gpu is not None else None
    if gpus:
        # Extended resources cannot be overcommitted: the request is the limit.
        limits[_GPU] = str(gpus)
    return {key: value for key, value in (("requests", requests), ("limits", limits)) if value}


def _port_name(number: int, protocol: str | None) -> str:
    return f"{(protocol or 'TCP').lower()}-{number}"


def _file_name(path: str) -> str:
    return PurePosixPath(path).name or "config.json"
