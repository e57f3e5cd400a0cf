"""The components of an application: where they may run, what they need, what they contain."""

from __future__ import annotations

from pydantic import AliasChoices, Field

from mlsysops_core.model import vocabulary as words
from mlsysops_core.model.common import Model, rule, with_rules
from mlsysops_core.model.containers import Container
from mlsysops_core.model.scalars import Flag, Identifier, Instances, MetricName, Name, NotNegative, Number, Text
from mlsysops_core.model.sensors import SensorRequest

__all__ = [
    "Bucket",
    "Component",
    "ComponentMetadata",
    "LocationRestrictions",
    "NodePlacement",
    "QosMetric",
    "RuntimeConfiguration",
    "Scaling",
    "Storage",
]


class ComponentMetadata(Model):
    """Identity of a component."""

    name: Name = Field(description="The unique name of the component; its Service is called so too.")
    uid: Text | None = Field(
        None, description="The unique identifier of the component (not given by the application's provider)."
    )


class Scaling(Model):
    """How many instances of a component run."""

    model_config = with_rules(
        rule(
            "!has(self.scaling_mode) || self.scaling_mode != 'manual' || (has(self.instances) && self.instances >= 1)",
            "manual scaling needs instances of at least 1",
        )
    )

    scaling_mode: words.ScalingMode | None = Field(None, description="Who sets the number of instances.")
    instances: Instances | None = Field(None, description="Number of instances; needed where scaling is manual.")
    scaling_criteria: words.ScalingCriteria | None = Field(None, description="What automatic scaling goes by.")


class NodePlacement(Model):
    """What the node of a component must be like."""

    continuum_layer: list[words.LayerOrAny] = Field(
        [], max_length=8, description='Layers of the continuum on which the component may run; "*" is any.'
    )
    scaling: Scaling | None = Field(None, description="How many instances run.")
    mobile: Flag | None = Field(None, description="Whether the node must be mobile (true) or must not be (false).")
    labels: list[Text] = Field([], max_length=64, description="Labels the node must have.")
    node: Identifier | None = Field(None, description="Name of the one node that must host the component.")


class RuntimeConfiguration(Model):
    """Configuration of a component at run time, on the level of its node."""

    config_specification_file: Text | None = Field(
        None, description="File, by the application's developer, that describes the knobs there are (JSON)."
    )
    config_file_path: Text | None = Field(
        None, description="Absolute path in the container at which the application expects the specification file."
    )


class QosMetric(Model):
    """A metric that the application reports, and its target."""

    application_metric_id: MetricName = Field(description="Name of the metric, as the application sends it over OTLP.")
    target: Number | None = Field(None, description="Target value, in the metric's own unit.")
    relation: words.Relation | None = Field(None, description="How the measured value must relate to the target.")
    system_metrics_hints: list[words.SystemMetric] = Field(
        [], max_length=16, description="System-level metrics that affect the application's metric."
    )


class LocationRestrictions(Model):
    """Storage locations that may not hold data of the application."""

    gdpr: Flag | None = Field(None, description="Use GDPR-compliant storage locations only.")


class Bucket(Model):
    """A bucket of the storage service."""

    bucket_id: Text = Field(description="The bucket's unique identifier.")
    policy_update_token: Text | None = Field(
        None, description="Token with which agents update the bucket's policy at run time."
    )
    location_restrictions: LocationRestrictions | None = Field(None, description="Locations that are excluded.")
    redundancy: words.Redundancy | None = Field(
        None,
        validation_alias=AliasChoices("reduncancy", "redundancy"),
        serialization_alias="reduncancy",
        description="Redundancy of the stored data.",
    )
    max_latency: NotNegative | None = Field(None, description="Highest latency (ms).")
    min_download_speed: NotNegative | None = Field(None, description="Lowest download speed (Mbps).")
    server_side_encryption: words.Switch | None = Field(None, description="Whether the server encrypts the data.")


class Storage(Model):
    """The component's use of the storage service."""

    buckets: list[Bucket] = Field([], max_length=64, description="Buckets.")


class Component(Model):
    """A component of an application."""

    model_config = with_rules(
        rule(
            "!has(self.host_network) || !self.host_network || self.containers.all(c, !has(c.ports)"
            " || c.ports.all(p, !has(p.host_port) || p.host_port == p.container_port))",
            "with host_network, host_port must equal container_port",
        ),
        rule(
            "!has(self.depends_on) || self.depends_on.all(d, d != self.metadata.name)",
            "a component cannot depend on itself",
        ),
    )

    metadata: ComponentMetadata = Field(description="Identity of the component.")
    node_placement: NodePlacement | None = Field(None, description="What the component's node must be like.")
    depends_on: list[Name] = Field(
        [], max_length=32, description="Components that must run before this one is deployed."
    )
    runtime_configuration: RuntimeConfiguration | None = Field(
        None, description="Configuration at run time, on the level of the node."
    )
    sensors: list[SensorRequest] = Field([], max_length=16, description="Sensors the node must have.")
    qos_metrics: list[QosMetric] = Field(
        [], max_length=16, description="Metrics of the application, and their targets."
    )
    storage: Storage | None = Field(None, description="Use of the storage service.")
    data_sensitivity: Flag | None = Field(None, description="Whether the component handles sensitive data.")
    data_criticality: words.Criticality | None = Field(
        None, description="How critical the component's data is, for the sake of trust."
    )
    external_component: Flag | None = Field(
        None, description="The component is deployed and removed with the application, and not managed otherwise."
    )
    external_access: Flag | None = Field(
        None, description="Whether the component can be reached from outside its cluster."
    )
    host_network: Flag | None = Field(
        None, description="Use the host's network namespace. The ports that will be used must be given. Default: false."
    )
    runtime_class_name: words.RuntimeClass | None = Field(None, description="Runtime class of the component's pods.")
    restart_policy: words.RestartPolicy | None = Field(
        None, description="When containers are restarted. Default: Always."
    )
    os: words.OperatingSystem | None = Field(None, description="Operating system the node must have.")
    node_type: words.NodeType | None = Field(
        None,
        description="Type the node must have; virtualized: a virtual machine; native: hardware with an operating system; "
        "bare_metal: hardware without one.",
    )
    container_runtime: words.ContainerRuntime | None = Field(None, description="Container runtime the node must have.")
    containers: list[Container] = Field(min_length=1, max_length=8, description="Containers of the component.")

    @property
    def name(self) -> str:
        """Name of the component."""
        return self.metadata.name

    @property
    def cpu_request(self) -> float:
        """Cores that all containers request together."""
        return sum(container.cpu_request for container in self.containers)

    @property
    def memory_request(self) -> int:
        """Bytes of memory that all containers request together."""
        return sum(container.memory_request for container in self.containers)

    @property
    def disk_request(self) -> int:
        """Bytes of disk that all containers request together."""
        return sum(container.disk_request for container in self.containers)
