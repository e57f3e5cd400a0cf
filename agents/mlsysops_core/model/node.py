"""The description of a node: where it is, what it has, what may be done with it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, Field, model_validator
from pydantic.config import JsonDict

from mlsysops_core.model import rules
from mlsysops_core.model import vocabulary as words
from mlsysops_core.model.common import Model, Root, raise_problems, rule
from mlsysops_core.model.hardware import Hardware
from mlsysops_core.model.power import Power
from mlsysops_core.model.scalars import Flag, Identifier, Location, NotNegative, Text
from mlsysops_core.model.sensors import SensorOffer

__all__ = [
    "LOCATION_RULES",
    "AccelerationOffer",
    "BasicInterface",
    "Environment",
    "NetworkResources",
    "Node",
    "PairingInfo",
    "PlatformOffer",
    "RedirectionInterface",
    "StorageMembership",
]

LOCATION_RULES: JsonDict = {
    "x-kubernetes-validations": [
        rule("self[0] >= -180.0 && self[0] <= 180.0", "the longitude (first) must be in -180..180"),
        rule("self[1] >= -90.0 && self[1] <= 90.0", "the latitude (second) must be in -90..90"),
    ]
}


class StorageMembership(Model):
    """The node's part in the distributed storage service."""

    member: Flag | None = Field(None, description="Whether the node is part of the distributed storage service.")
    available_space: NotNegative | None = Field(None, description="Space the storage service may use (GB).")


class Environment(Model):
    """The software a node runs."""

    node_type: words.NodeType | None = Field(
        None,
        description="virtualized: a virtual machine; native: hardware with an operating system; bare_metal: hardware without one.",
    )
    os: words.OperatingSystem | None = Field(None, description="Operating system.")
    container_runtime: list[words.ContainerRuntime] = Field(
        [],
        max_length=8,
        description="Container runtimes; process runs containers as local processes (embedded engine).",
    )


class PlatformOffer(Model):
    """A platform on which an accelerated call can run."""

    name: words.Platform | None = Field(None, description="Platform.")
    supported_frameworks: list[words.Framework] = Field(
        [],
        validation_alias=AliasChoices("suported_frameworks", "supported_frameworks"),
        serialization_alias="suported_frameworks",
        max_length=16,
        description="Frameworks that are there.",
    )


class AccelerationOffer(Model):
    """An accelerated call the node offers."""

    call_name: words.AccelerationCall = Field(description="The (unique) name of the API call.")
    supported_platforms: list[PlatformOffer] = Field(max_length=16, description="Platforms that serve the call.")


class BasicInterface(Model):
    """The only interface for control traffic; also the default one of applications."""

    name: words.NetworkTechnology | None = Field(None, description="Networking technology.")
    range: NotNegative | None = Field(None, description="Communication range if the interface is wireless (m).")
    interface_name: Text | None = Field(None, description="Name of the interface in the operating system, e.g. eth0.")
    application_traffic_permission: Flag | None = Field(
        None, description="Whether application traffic may use the interface besides control messages."
    )


class PairingInfo(Model):
    """What is needed to join the network of an interface."""

    ip_address: Text | None = Field(None, description="IP address of the interface.")
    network_ssid: Text | None = Field(None, description="Identifier of the network (SSID or PAN ID).")
    net_key: Text | None = Field(None, description="Password of the network.")


class RedirectionInterface(Model):
    """An interface to which application traffic can be redirected."""

    connection_type: words.NetworkTechnology = Field(description="Networking technology.")
    range: NotNegative | None = Field(None, description="Communication range if the interface is wireless (m).")
    interface_name: Text | None = Field(None, description="Name of the interface in the operating system.")
    mode: words.InterfaceMode | None = Field(None, description="Connectivity.")
    hardware_address: Text | None = Field(None, description="Hardware (MAC) address.")
    pairing_info: PairingInfo | None = Field(None, description="What is needed to join the network.")


class NetworkResources(Model):
    """The networks of a node."""

    basic_interface: BasicInterface | None = Field(None, description="The interface of control traffic.")
    redirection_interface: list[RedirectionInterface] = Field(
        [], max_length=16, description="Interfaces to which application traffic can be redirected."
    )


class Node(Root):
    """MLSysOps node formal specification."""

    name: Identifier = Field(description="Name of the node, as its Kubernetes node is called.")
    labels: list[Text] = Field([], max_length=128, description="Labels for filtering.")
    continuum_layer: words.Layer = Field(description="Layer of the continuum on which the node lies.")
    cluster_id: Identifier | None = Field(None, description="Identifier of the cluster in which the node resides.")
    datacenter_id: Identifier | None = Field(
        None,
        description="Identifier of the datacenter to which the node belongs. Without one the node stands alone and is characterised by its location.",
    )
    availability: words.Availability | None = Field(
        None,
        description="Availability over time, for example transient where a battery can run empty; not joining or leaving a cluster.",
    )
    mobile: Flag | None = Field(None, description="Whether the node moves.")
    location: Annotated[Location, Field(json_schema_extra=LOCATION_RULES)] | None = Field(
        None,
        description="Longitude and latitude (degrees), in this order; of the base station where the node is mobile.",
    )
    sensors: list[SensorOffer] = Field([], max_length=64, description="Sensors of the node, presented as services.")
    permitted_actions: list[words.NodeAction] = Field(
        [],
        max_length=16,
        description="What agents may do on the node; * is everything. "
        "A node that permits change_container_image notifies its cluster to do it.",
    )
    distributed_storage_service: StorageMembership | None = Field(
        None, description="The node's part in the distributed storage service."
    )
    environment: Environment = Field(description="The software the node runs.")
    acceleration_api: list[AccelerationOffer] = Field(
        [], max_length=64, description="Accelerated calls the node offers."
    )
    hardware: Hardware = Field(description="The hardware of the node.")
    network_resources: NetworkResources | None = Field(None, description="The networks of the node.")
    power: Power | None = Field(None, description="Power: targets, sources and limits.")

    @model_validator(mode="after")
    def _cross_field_rules(self) -> Node:
        raise_problems("Node", rules.node(self.model_dump(by_alias=True, exclude_none=True)))
        return self
