"""Turns a raw inventory into a `Slice`, reporting every fault at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from mlsysops_core.errors import Fault, InvalidInput
from mlsysops_core.settings import PlacementSettings
from pydantic import ValidationError

from mlsysops_cli.inventory.addresses import check_addresses
from mlsysops_cli.inventory.checks import check_labels, check_name, check_networks
from mlsysops_cli.inventory.existing import mark_machines, read_agents_form, read_existing
from mlsysops_cli.inventory.extras import read_export, read_settings
from mlsysops_cli.inventory.forms import check_forms
from mlsysops_cli.inventory.groups import Membership, find_memberships
from mlsysops_cli.inventory.k3s import read_k3s, read_taints
from mlsysops_cli.inventory.loader import RawInventory, load_inventory
from mlsysops_cli.inventory.nodes import read_node
from mlsysops_cli.inventory.plugins import read_plugins
from mlsysops_cli.inventory.values import Reader
from mlsysops_cli.inventory.variables import check_variables
from mlsysops_cli.slice.existing import ExistingSettings
from mlsysops_cli.slice.model import Cluster, Engine, FarEdgeDevice, Host, Slice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlsysops_cli.reading import Reading

__all__ = ["build_slice", "load_slice"]


def load_slice(path: str, *, vault_password_file: str | None = None, reading: Reading | None = None) -> Slice:
    """Read and validate an inventory.

    Args:
        path: File or directory that Ansible accepts as an inventory.
        vault_password_file: File that decrypts vaulted parts.
        reading: The same, begun already.

    Raises:
        InvalidInput: There is no such file, it cannot be read, or is not a slice; carries every fault.
        TimedOut: A dynamic inventory does not come to an end.
    """
    return build_slice(load_inventory(path, vault_password_file=vault_password_file, reading=reading))


def build_slice(raw: RawInventory) -> Slice:
    """Validate a raw inventory into a slice.

    Raises:
        InvalidInput: It is not one; carries every fault, each with file, host and a fix.
    """
    return _Builder(raw).build()


class _Builder:
    def __init__(self, raw: RawInventory) -> None:
        self.raw = raw
        self.faults: list[Fault] = []
        self.warnings: list[str] = []
        self.read = Reader(raw, self.faults)

    def fault(self, *names: str, message: str, hint: str, path: str = "") -> None:
        self.faults.append(self.raw.fault(*names, message=message, hint=hint, path=path))

    def build(self) -> Slice:
        if not self.raw.hosts:
            self.fault(message="the inventory has no hosts", hint="see inventories/local.yml for a small one")
            raise InvalidInput(faults=self.faults)
        members = find_memberships(self.raw, self.faults, self.warnings)
        management = self._management(members)
        for member in members:
            kind = "device" if member.role == "far_edge" else "host"
            check_name(self.raw, self.faults, member.name, f"{kind} name", (member.name,))
        clusters = self._clusters(members, management)
        hosts = self._hosts(members, management, clusters)
        far_edge = self._far_edge(members, hosts)
        check_variables(self.raw, self.faults, [member.name for member in members])
        check_forms(self.raw, self.faults, [member.name for member in members])
        check_addresses(self.raw, self.faults, hosts, far_edge)
        manager = hosts.get(management.name) if management else None
        continuum_pods = self._cidr([management], "pod_cidr") if management else None
        continuum_services = self._cidr([management], "service_cidr") if management else None
        slice_name = self.read.shared("mls_slice") or (manager.name if manager else "")
        if slice_name:
            check_name(self.raw, self.faults, slice_name, "slice name", ("mls_slice",), label=True)
        engine = self._engine(hosts)
        check_labels(self.raw, self.faults, hosts, engine)
        networks = {"the continuum": (continuum_pods, continuum_services)} if management else {}
        networks |= {f"cluster {c.name}": (c.pod_cidr, c.service_cidr) for c in clusters}
        check_networks(self.raw, self.faults, networks, self._network_place(members))
        block = self.read.shared_int("mls_loopback_block", 16, 119)
        lease = self.read.shared_int("mls_lease_seconds", 8, 3600)
        form = read_agents_form(self.raw, self.read, engine, self.faults)
        existing = ExistingSettings()
        if manager is not None and all(cluster.servers for cluster in clusters):
            existing = read_existing(self.raw, self.read, engine, form, manager.name, clusters, self.faults)
        mark_machines(hosts, existing, form, engine)
        if (engine, form) != ("existing", "pods"):  # where its API names the workers
            self.warnings += [
                f"cluster {c.name} has no worker: nothing can run in it yet" for c in clusters if not c.workers
            ]
        writes = self.read.shared_flag("mls_node_agent_privileged")
        k3s = read_k3s(self.raw, self.read, self.faults)
        plugins = read_plugins(self.raw, self.read, self.faults, form)
        export = read_export(self.raw, self.read, self.faults)
        settings = read_settings(self.raw, self.read, hosts, self.faults)
        if self.faults or manager is None:
            raise InvalidInput(faults=sorted(dict.fromkeys(self.faults)))
        images = {
            "agents": self.read.shared("mls_agents_image"),
            "northbound": self.read.shared("mls_northbound_image"),
        }
        return Slice(
            name=slice_name,
            continuum=manager.cluster,
            engine=engine,
            management=manager.name,
            continuum_pod_cidr=continuum_pods,
            continuum_service_cidr=continuum_services,
            hosts=hosts,
            clusters=clusters,
            far_edge=far_edge,
            agents=form,
            node_agent_writes=writes,
            existing=existing,
            k3s=k3s,
            export=export,
            settings=settings,
            plugins=plugins,
            images={part: image for part, image in images.items() if image},
            lease_seconds=lease or 40,
            loopback_block=block,
            warnings=self.warnings,
        )

    def _management(self, members: Sequence[Membership]) -> Membership | None:
        found = [member for member in members if member.role == "management"]
        if not found:
            self.fault(
                message="no management host",
                hint="put exactly one host into the group management_cluster",
                path="management_cluster",
            )
            return None
        if len(found) > 1:
            names = ", ".join(member.name for member in found)
            self.fault(
                found[1].name,
                message=f"{len(found)} management hosts: {names}",
                hint=f"keep {found[0].name} in the group management_cluster and move the others",
            )
        return found[0]

    def _clusters(self, members: Sequence[Membership], management: Membership | None) -> list[Cluster]:
        names = list(dict.fromkeys(m.cluster for m in members if m.role in ("server", "worker") and m.cluster))
        clusters = []
        for name in names:
            own = [member for member in members if member.cluster == name]
            servers = [m for m in own if m.role == "server"]
            workers = [m for m in own if m.role == "worker"]
            check_name(self.raw, self.faults, name, "cluster name", (own[0].name, name), label=True)
            if management and name == management.cluster:
                self.fault(
                    own[0].name,
                    name,
                    message=f"cluster {name} has the name of the continuum (host {management.name})",
                    hint="give one of them another k3s_cluster_name",
                    path=own[0].name,
                )
            if not servers:
                self.fault(
                    own[0].name,
                    message=f"cluster {name} has no server (its hosts: {', '.join(m.name for m in own)})",
                    hint="put one of its hosts into the cluster's group master_nodes",
                )
            clusters.append(
                Cluster(
                    name=name,
                    servers=[m.name for m in servers],
                    workers=[m.name for m in workers],
                    pod_cidr=self._cidr([*servers, *workers], "pod_cidr"),
                    service_cidr=self._cidr([*servers, *workers], "service_cidr"),
                )
            )
        if not names and not self.faults:
            self.fault(message="no cluster", hint="add a group with children master_nodes and worker_nodes")
        return clusters

    def _hosts(
        self, members: Sequence[Membership], management: Membership | None, clusters: Sequence[Cluster]
    ) -> dict[str, Host]:
        rank = {name: number for number, name in enumerate(c.name for c in clusters)}
        order = {"management": 0, "server": 1, "worker": 2}
        machines = [m for m in members if m.role in order]
        machines.sort(key=lambda m: (m.role != "management", rank.get(m.cluster, 0), order[m.role]))
        hosts = {}
        for member in machines:
            if member.role == "management" and member is not management:
                continue
            hosts[member.name] = Host(
                name=member.name,
                role=member.role,
                cluster=member.cluster,
                address=self.read.text(member.name, "mls_address")
                or self.read.text(member.name, "ansible_host")
                or member.name,
                local=self.raw.hosts[member.name].get("ansible_connection") in ("local", "ansible.builtin.local"),
                python=str(self.raw.hosts[member.name].get("ansible_python_interpreter") or ""),
                labels=self.read.labels(member.name),
                taints=read_taints(self.raw, member.name, self.faults),
                node=read_node(self.raw, self.read, self.faults, member.name, "edge"),
                placement=self._placement(member.name),
            )
        return hosts

    def _placement(self, host: str) -> dict[str, Any]:
        """Return how the agent on a host shall place components."""
        said = self.read.mapping(host, "mls_placement")
        try:
            PlacementSettings.model_validate(said)
        except ValidationError as exc:
            for error in exc.errors(include_url=False):
                where = ".".join(["mls_placement", *map(str, error["loc"])])
                fields = ", ".join(PlacementSettings.model_fields)
                known = (
                    f"one of: {fields}"
                    if error["type"] == "extra_forbidden" and len(error["loc"]) == 1
                    else error["msg"]
                )
                self.fault(
                    host,
                    "mls_placement",
                    message=f"{where} of host {host} cannot be {error['input']!r}",
                    hint=known,
                    path=where,
                )
            return {}
        return said

    def _far_edge(self, members: Sequence[Membership], hosts: dict[str, Host]) -> list[FarEdgeDevice]:
        devices = []
        for member in members:
            if member.role != "far_edge":
                if self.raw.hosts[member.name].get("mls_gateway"):
                    self.fault(
                        member.name,
                        "mls_gateway",
                        message=f"mls_gateway of host {member.name} means nothing: only far-edge devices are behind a gateway",
                        hint="put it into the group far_edge, or remove the variable",
                    )
                continue
            gateway = self.read.text(member.name, "mls_gateway")
            host = hosts.get(gateway)
            if host is None or host.role == "management":
                known = ", ".join(h.name for h in hosts.values() if h.role != "management")
                said = f"gateway {gateway!r} is not a host of a cluster" if gateway else "names no gateway"
                self.fault(
                    member.name,
                    *(["mls_gateway"] if gateway else []),
                    message=f"far-edge device {member.name}: {said}",
                    hint=f"set mls_gateway to one of: {known}",
                    path=f"{member.name}.mls_gateway",
                )
                continue
            devices.append(
                FarEdgeDevice(
                    name=member.name,
                    gateway=gateway,
                    cluster=host.cluster,
                    address=self.read.text(member.name, "ansible_host") or member.name,
                    labels=self.read.labels(member.name),
                    node=read_node(self.raw, self.read, self.faults, member.name, "far_edge"),
                )
            )
        return devices

    def _engine(self, hosts: dict[str, Host]) -> Engine:
        engine = self.read.shared("mls_engine")
        known: dict[str, Engine] = {name: name for name in get_args(Engine)}
        if engine and engine not in known:
            self.fault(
                "mls_engine",
                message=f"unknown engine {engine!r}",
                hint=f"one of: {', '.join(known)}",
                path="mls_engine",
            )
        all_local = bool(hosts) and all(host.local for host in hosts.values())
        return known.get(engine) or ("embedded" if all_local else "k3s")

    def _cidr(self, members: Sequence[Membership], key: str) -> str | None:
        """Return the value that a cluster's hosts agree on."""
        values = {m.name: self.read.text(m.name, key) for m in members}
        found = {name: value for name, value in values.items() if value}
        distinct = list(dict.fromkeys(found.values()))
        if len(distinct) > 1:
            first, second = (next(n for n, v in found.items() if v == value) for value in distinct[:2])
            self.fault(
                second,
                key,
                message=f"{key} {distinct[1]} differs from {distinct[0]} of host {first} in the same cluster",
                hint=f"set {key} once, on the cluster's first server",
            )
        return distinct[0] if distinct else None

    def _network_place(self, members: Sequence[Membership]) -> dict[str, str]:
        """Name, for each network's owner, the host whose variables set it."""
        places: dict[str, str] = {}
        for member in members:
            owner = "the continuum" if member.role == "management" else f"cluster {member.cluster}"
            for key in ("pod_cidr", "service_cidr"):
                if self.raw.hosts[member.name].get(key):
                    places.setdefault(f"{owner}/{key}", member.name)
        return places
