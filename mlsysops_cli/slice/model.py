"""The slice that an inventory describes: hosts with their roles, clusters, far-edge devices, engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from mlsysops_core.errors import InvalidInput
from pydantic import BaseModel, ConfigDict, Field

from mlsysops_cli.slice.existing import ExistingSettings
from mlsysops_cli.slice.extras import HostSettings, TelemetryExport
from mlsysops_cli.slice.k3s import K3sSettings
from mlsysops_cli.slice.plugins import PluginSettings

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["AgentsForm", "Cluster", "Engine", "FarEdgeDevice", "Host", "NodeFacts", "Role", "Slice"]

Role = Literal["management", "server", "worker"]
Engine = Literal["embedded", "k3s", "existing"]
AgentsForm = Literal["processes", "pods"]
ContinuumLayer = Literal["cloud", "edge_infrastructure", "edge", "far_edge"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NodeFacts(_Strict):
    """What the inventory says of a host as a node; members of the node description that are unknown stay out.

    Attributes:
        continuum_layer: Where on the continuum the node is.
        environment: ``node_type``, ``os``, ``container_runtime`` as in the node description.
        hardware: ``cpu``, ``memory`` (GB), ``disk`` (GB), ``gpu`` … as in the node description.
        extra: Any other member of the node description (``mls_node`` of the inventory): sensors, location, ….
    """

    continuum_layer: ContinuumLayer = "edge"
    environment: dict[str, Any] = Field(default_factory=dict)
    hardware: dict[str, Any] = Field(default_factory=dict)
    extra: dict[str, Any] = Field(default_factory=dict)


class Host(_Strict):
    """One machine.

    Attributes:
        name: Inventory name; also the Kubernetes node name.
        role: What it does in the slice.
        cluster: The cluster it belongs to; for the management host the continuum's id.
        address: ``mls_address``, ``ansible_host``, or the name; loopback addresses of local hosts are given at deployment.
        local: It is this machine (``ansible_connection: local``).
        machine: Something of ours runs on it as processes. False where it only stands for an API, or for a node of one:
            nothing is installed on it, and it need not be reached.
        node_name: Name of the Kubernetes node whose address is its own: on which its agent runs as a pod, or which is this
            machine; empty elsewhere.
        python: ``ansible_python_interpreter`` where the inventory sets it.
        labels: Node labels, values as Kubernetes wants them.
        taints: Node taints, as ``key=value:Effect``.
        node: What the inventory says of it as a node.
        placement: How the agent on it places components (``mls_placement``); what is not said is as by default.
    """

    name: str
    role: Role
    cluster: str
    address: str
    local: bool = False
    machine: bool = True
    node_name: str = ""
    python: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    taints: list[str] = Field(default_factory=list)
    node: NodeFacts = Field(default_factory=NodeFacts)
    placement: dict[str, Any] = Field(default_factory=dict)


class Cluster(_Strict):
    """One cluster: its control plane's hosts (the first leads), its workers and its networks.

    Attributes:
        name: The cluster id.
        servers: Host names, in the inventory's order.
        workers: Host names, in the inventory's order.
        pod_cidr: Network of pods, where the inventory gives one.
        service_cidr: Network of services, where the inventory gives one.
    """

    name: str
    servers: list[str]
    workers: list[str] = Field(default_factory=list)
    pod_cidr: str | None = None
    service_cidr: str | None = None


class FarEdgeDevice(_Strict):
    """A device too small for Kubernetes, reached through a gateway host.

    Attributes:
        name: Inventory name.
        gateway: The host that speaks for it.
        cluster: The gateway's cluster.
        address: How the gateway reaches it.
        labels: Node labels.
        node: What the inventory says of it as a node.
    """

    name: str
    gateway: str
    cluster: str
    address: str
    labels: dict[str, str] = Field(default_factory=dict)
    node: NodeFacts = Field(default_factory=lambda: NodeFacts(continuum_layer="far_edge"))


class Slice(_Strict):
    """A validated inventory.

    Attributes:
        name: ``mls_slice``, or the management host's name.
        continuum: Continuum id: the management host's cluster name, or its own.
        engine: Which engine serves the control planes.
        management: Name of the management host.
        continuum_pod_cidr: Network of pods of the management host's cluster, where given.
        continuum_service_cidr: Network of services of the management host's cluster, where given.
        hosts: All hosts by name, management first, then cluster by cluster.
        clusters: Clusters in the inventory's order.
        far_edge: Devices behind gateways.
        agents: Whether agents run as processes of hosts or as pods.
        node_agent_writes: Whether node agents that run as pods get what turning knobs of a host takes
            (``mls_node_agent_privileged``): a privileged container that sees the host's root.
        existing: Kubeconfigs of clusters that exist.
        k3s: Versions of k3s and Karmada, and where their files come from.
        plugins: What agents' plug-ins may do, and where they are.
        export: A collector of the user's that telemetry goes to.
        settings: Settings of hosts, by name.
        images: Images of our own parts for the Kubernetes engines: ``agents`` and ``northbound``.
        lease_seconds: How long a silent node, cluster or agent counts as there.
        loopback_block: Second octet of the loopback addresses where the inventory pins it.
        warnings: What was found odd but not wrong.
    """

    name: str
    continuum: str
    engine: Engine
    management: str
    continuum_pod_cidr: str | None = None
    continuum_service_cidr: str | None = None
    hosts: dict[str, Host]
    clusters: list[Cluster]
    far_edge: list[FarEdgeDevice] = Field(default_factory=list)
    agents: AgentsForm = "processes"
    node_agent_writes: bool = False
    existing: ExistingSettings = Field(default_factory=ExistingSettings)
    k3s: K3sSettings = Field(default_factory=K3sSettings)
    plugins: PluginSettings = Field(default_factory=PluginSettings)
    export: TelemetryExport = Field(default_factory=TelemetryExport)
    settings: dict[str, HostSettings] = Field(default_factory=dict)
    images: dict[str, str] = Field(default_factory=dict)
    lease_seconds: int = 40
    loopback_block: int | None = None
    warnings: list[str] = Field(default_factory=list)

    def cluster(self, name: str) -> Cluster:
        """Return a cluster by name.

        Raises:
            KeyError: There is none of that name.
        """
        for cluster in self.clusters:
            if cluster.name == name:
                return cluster
        raise KeyError(name)

    @property
    def extras(self) -> frozenset[str]:
        """Extras of ours that agents of hosts need for what the inventory asks for."""
        asked = {
            "dataframe": self.plugins.dataframe,
            "optimize": any(host.placement.get("exact_seconds") for host in self.hosts.values()),
        }
        return frozenset(extra for extra, wanted in asked.items() if wanted)

    def without(self, names: Collection[str]) -> Slice:
        """Return the slice without some of its workers, or of the servers that joined a first one.

        Raises:
            InvalidInput: A far-edge device is behind one of them.
        """
        behind = [device.name for device in self.far_edge if device.gateway in names]
        if behind:
            raise InvalidInput(
                f"{', '.join(names)} cannot leave: far-edge devices are behind: {', '.join(behind)}",
                hint="give them another mls_gateway first",
            )
        if not names:
            return self
        return self.model_copy(
            update={
                "hosts": {name: host for name, host in self.hosts.items() if name not in names},
                "clusters": [
                    cluster.model_copy(
                        update={
                            "servers": [name for name in cluster.servers if name not in names],
                            "workers": [name for name in cluster.workers if name not in names],
                        }
                    )
                    for cluster in self.clusters
                ],
            }
        )

    @property
    def local(self) -> bool:
        """Whether every host on which something runs as a process is this machine."""
        return all(host.local for host in self.hosts.values() if host.machine)
