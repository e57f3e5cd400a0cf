"""Nodes, with what placement makes of them before it knows any demand: worked out once, for many placements.

Of a thousand nodes a few change between two placements, and mostly in nothing but what is in use on them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

from .facts import NodeFacts, fingerprint_of
from .goals import node_costs
from .problem import Level

__all__ = ["EPSILON", "MICRO", "Fleet"]

#: Cores and GPUs are counted in millionths.
MICRO = 1_000_000
#: Tolerance of sums of cores, as in the filter `cpu`.
EPSILON = 1e-3
#: Hundredths of the distance that are saved by sharing a node, a site (datacenter or place), a cluster.
_SAVED = (50, 25, 25)
#: Rows kept; an application has a few, and those of one owner are mostly alike.
_KEEP_ROWS = 512

Row = tuple[int, ...]


@dataclass(slots=True)
class _Rows:
    """Costs of all nodes for kinds of demands, by all that they depend on; the oldest go."""

    known: dict[Any, Row] = field(default_factory=dict)

    def keep(self, key: Any, row: Row) -> Row:
        while len(self.known) >= _KEEP_ROWS:
            del self.known[next(iter(self.known))]
        self.known[key] = row
        return row


class _Described:
    """What does not depend on what is in use."""

    def __init__(self, nodes: Sequence[NodeFacts], costs: Sequence[tuple[float, ...]] | None = None) -> None:
        self._nodes = nodes
        self._given = costs
        self.hosts = {node.name: host for host, node in enumerate(nodes)}
        self.rows = _Rows()

    @cached_property
    def costs(self) -> Sequence[tuple[float, ...]]:
        return node_costs(self._nodes) if self._given is None else self._given

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        return _levels(self._nodes)

    @cached_property
    def classes(self) -> tuple[int, ...]:
        """Number of what filters may look at, but names and labels, of each node."""
        numbers: dict[Any, int] = {}
        return tuple(numbers.setdefault(_node_key(node), len(numbers)) for node in self._nodes)

    @cached_property
    def sizes(self) -> tuple[tuple[tuple[float, int], ...], tuple[int, ...]]:
        """The different sizes (cores, bytes of memory) there are, and the number of each node's."""
        numbers: dict[tuple[float, int], int] = {}
        which = tuple(numbers.setdefault((node.cpu or 0.0, node.memory or 0), len(numbers)) for node in self._nodes)
        return tuple(numbers), which


class Fleet(Sequence[NodeFacts]):
    """Nodes as a sequence; never changed, `updated` makes another one that shares what it can.

    Args:
        nodes: Their facts.
        costs: Their costs as of `node_costs`, where they are compared with more nodes than these; among themselves where None.
    """

    def __init__(self, nodes: Sequence[NodeFacts], costs: Sequence[tuple[float, ...]] | None = None) -> None:
        self._nodes = tuple(nodes)
        self._described = _Described(self._nodes, costs)
        self._free: tuple[tuple[int, ...], ...] | None = None

    @classmethod
    def of(cls, nodes: Sequence[NodeFacts]) -> Fleet:
        """Return nodes as a fleet, which they may be already."""
        return nodes if isinstance(nodes, Fleet) else cls(nodes)

    def updated(self, changed: Mapping[str, NodeFacts]) -> Fleet:
        """Return the fleet in which some of the nodes have other facts.

        Args:
            changed: Name to facts; each must be there already.
        """
        if not changed:
            return self
        hosts = {self.hosts[name]: node for name, node in changed.items()}
        if any(not _alike(self._nodes[host], node) for host, node in hosts.items()):
            return Fleet([hosts.get(host, node) for host, node in enumerate(self._nodes)])
        made = Fleet.__new__(Fleet)
        nodes = list(self._nodes)
        for host, node in hosts.items():
            nodes[host] = node
        made._nodes, made._described, made._free = tuple(nodes), self._described, None
        if self._free is not None:
            free = list(self._free)
            for host, node in hosts.items():
                free[host] = _free(node)
            made._free = tuple(free)
        return made

    @overload
    def __getitem__(self, host: int) -> NodeFacts: ...
    @overload
    def __getitem__(self, host: slice) -> Sequence[NodeFacts]: ...
    def __getitem__(self, host: int | slice) -> NodeFacts | Sequence[NodeFacts]:
        return self._nodes[host]

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[NodeFacts]:
        return iter(self._nodes)

    @property
    def hosts(self) -> Mapping[str, int]:
        """Name to number."""
        return self._described.hosts

    @property
    def costs(self) -> Sequence[tuple[float, ...]]:
        """Each node's cost for each of the goals."""
        return self._described.costs

    @property
    def levels(self) -> tuple[Level, ...]:
        """The network's hierarchy: node, site, cluster."""
        return self._described.levels

    @property
    def sizes(self) -> tuple[tuple[tuple[float, int], ...], tuple[int, ...]]:
        """The different sizes (cores, bytes of memory) there are, and the number of each node's."""
        return self._described.sizes

    @property
    def rows(self) -> _Rows:
        """Rows of costs that were worked out for these nodes."""
        return self._described.rows

    @property
    def free(self) -> tuple[tuple[int, ...], ...]:
        """Free cores (millionths), memory and disk (bytes), GPUs (millionths) of each node; what is unknown is none."""
        if self._free is None:
            self._free = tuple(map(_free, self._nodes))
        return self._free

    def kinds(self, labels: frozenset[str], names: frozenset[str]) -> tuple[tuple[int, ...], list[NodeFacts]]:
        """Return the kind of each node, as far as filters can tell nodes apart, and an example of each kind.

        Args:
            labels: Labels that demands ask for.
            names: Nodes that demands name.
        """
        numbers: dict[Any, int] = {}
        examples: list[NodeFacts] = []
        kinds: list[int] = []
        plain = not labels and not names
        for node, number in zip(self._nodes, self._described.classes, strict=True):
            key: Any = number
            if not plain:
                key = (number, node.labels & labels, node.name if node.name in names else None)
            kind = numbers.get(key)
            if kind is None:
                kind = numbers[key] = len(examples)
                examples.append(node)
            kinds.append(kind)
        return tuple(kinds), examples


def _alike(one: NodeFacts, other: NodeFacts) -> bool:
    """Say whether nodes differ in nothing but what is in use on them."""
    return one is other or (
        _node_key(one) == _node_key(other)
        and (one.name, one.labels, one.cpu, one.memory, one.disk)
        == (other.name, other.labels, other.cpu, other.memory, other.disk)
        and one.description is other.description
    )


def _node_key(node: NodeFacts) -> tuple[Any, ...]:
    """Return all that a filter may look at, but amounts, labels and the name."""
    description = node.description
    return (
        node.ready,
        node.unschedulable,
        node.taints,
        node.architecture,
        node.os,
        node.container_runtimes,
        node.runtime_classes,
        node.gpus,
        None
        if description is None
        else (
            description.continuum_layer,
            description.mobile,
            description.environment.node_type,
            node.fingerprint or fingerprint_of(description),
        ),
    )


def _free(node: NodeFacts) -> tuple[int, ...]:
    used = node.used
    return (
        -1 if node.cpu is None else math.floor((node.cpu - used.cpu) * MICRO + EPSILON),
        -1 if node.memory is None else node.memory - used.memory,
        -1 if node.disk is None else node.disk - used.disk,
        -1 if node.gpus is None else math.floor((node.gpus - used.gpu) * MICRO + EPSILON),
    )


def _levels(nodes: Sequence[NodeFacts]) -> tuple[Level, ...]:
    sites: dict[Any, int] = {}
    clusters: dict[str, int] = {}
    site_of: list[int] = []
    cluster_of: list[int] = []
    for node in nodes:
        description = node.description
        # Where nodes of several clusters take part, their names say which is whose: cluster/node.
        cluster, slash, _ = node.name.partition("/")
        if not slash:
            cluster = (description.cluster_id if description is not None else None) or ""
        place: Any = None
        if description is not None:
            place = description.datacenter_id or (tuple(description.location) if description.location else None)
        site_of.append(sites.setdefault((cluster, place), len(sites)))
        cluster_of.append(clusters.setdefault(cluster, len(clusters)))
    zones = (tuple(range(len(nodes))), tuple(site_of), tuple(cluster_of))
    return tuple(Level(zone, saved) for zone, saved in zip(zones, _SAVED, strict=True))
