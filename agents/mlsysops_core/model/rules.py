"""Rules that reach over several fields of a description.

They work on plain data and pass over what has the wrong type: so they also find their faults in a file that has other faults, and
all are reported at once. Those that the API server can check are repeated as CEL rules in the CRDs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import chain
from typing import Any

from mlsysops_core import quantities
from mlsysops_core.model.common import Problem
from mlsysops_core.model.sensors import OFFER_KINDS, REQUEST_KINDS

__all__ = ["application", "datacenter", "members", "near_miss", "nearest", "node"]

Path = tuple[str | int, ...]
_WEIGHT_TOLERANCE = 1e-3


def application(data: Any) -> Iterator[Problem]:
    """Finds what is wrong with an application as a whole."""
    components = list(_items(data, "components"))
    names = [(path, _get(component, "metadata", "name")) for path, component in components]
    known = {name: path[1] for path, name in names if isinstance(name, str)}
    seen: set[str] = set()
    for path, name in names:
        if isinstance(name, str) and name in seen:
            yield Problem(
                (*path, "metadata", "name"),
                f"the component name {name!r} is there twice",
                "names of components are unique",
            )
        if isinstance(name, str):
            seen.add(name)
    for path, component in components:
        yield from _component(path, component)
    yield from _dependencies(components, known)
    for path, interaction in _items(data, "component_interactions"):
        for key in ("component_name1", "component_name2"):
            yield from _reference((*path, key), _get(interaction, key), known, "component")
        for metric_path, metric in _items(interaction, "interaction_metrics", path):
            yield from _interaction_unit(metric_path, metric)
    yield from _single_nodes(data, known)
    yield from _satisfaction(data, components)


def node(data: Any) -> Iterator[Problem]:
    """Finds what is wrong with a node as a whole."""
    yield from _location(data)
    for path, sensor in _items(data, "sensors"):
        yield from _sensor(
            path,
            sensor,
            OFFER_KINDS,
        )
    seen: set[str] = set()
    for path, offer in _items(data, "acceleration_api"):
        call = _get(offer, "call_name")
        if isinstance(call, str) and call in seen:
            yield Problem((*path, "call_name"), f"the call {call!r} is there twice", "list its platforms in one entry")
        if isinstance(call, str):
            seen.add(call)


def datacenter(data: Any) -> Iterator[Problem]:
    """Finds what is wrong with a datacenter as a whole."""
    return chain(_location(data), members(data, "nodes"))


def members(data: Any, key: str) -> Iterator[Problem]:
    """Finds members that are listed twice."""
    seen: set[Any] = set()
    for path, member in _items(data, key):
        if isinstance(member, str) and member in seen:
            yield Problem(path, f"{member!r} is there twice", "list it once")
        if isinstance(member, str):
            seen.add(member)


def _get(data: Any, *path: str) -> Any:
    for key in path:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def _items(data: Any, key: str, prefix: Path = ()) -> Iterator[tuple[Path, Any]]:
    values = _get(data, key)
    if isinstance(values, Sequence) and not isinstance(values, str):
        for index, value in enumerate(values):
            yield (*prefix, key, index), value


def nearest(word: str, choices: Sequence[str] | Mapping[str, Any]) -> str:
    """Finds the choice that was probably meant; empty where none is near."""
    originals = {choice.casefold(): choice for choice in choices}
    matches = get_close_matches(word.casefold(), originals, n=1, cutoff=0.6)
    return originals[matches[0]] if matches else ""


def near_miss(word: str, choices: Sequence[str] | Mapping[str, Any]) -> str:
    """Asks whether the nearest choice was meant; empty where none is near."""
    choice = nearest(word, choices)
    return f"did you mean {choice!r}?" if choice else ""


def _reference(path: Path, name: Any, known: Mapping[str, Any], what: str) -> Iterator[Problem]:
    if isinstance(name, str) and name not in known:
        hint = near_miss(name, known) or (f"there are: {', '.join(sorted(known)[:10])}" if known else "")
        yield Problem(path, f"there is no {what} {name!r}", hint)


def _component(path: Path, component: Any) -> Iterator[Problem]:
    yield from _scaling((*path, "node_placement", "scaling"), _get(component, "node_placement", "scaling"))
    for sensor_path, sensor in _items(component, "sensors", path):
        yield from _sensor(sensor_path, sensor, REQUEST_KINDS)
    for metric_path, metric in _items(component, "qos_metrics", path):
        given = {key for key in ("target", "relation") if _get(metric, key) is not None}
        if len(given) == 1:
            missing = ({"target", "relation"} - given).pop()
            yield Problem(metric_path, f"{missing} is missing", "a metric has a target and a relation, or neither")
    name = _get(component, "metadata", "name")
    has_ports = any(
        True for at, container in _items(component, "containers", path) for _ in _items(container, "ports", at)
    )
    if has_ports and isinstance(name, str) and name[:1].isdigit():
        # Services are RFC 1035 labels, which are stricter than other names.
        yield Problem(
            (*path, "metadata", "name"),
            f"the name {name!r} begins with a digit",
            "a component with ports gets a Service of its name; begin it with a letter",
        )
    port_names: set[str] = set()
    sockets: set[tuple[Any, Any]] = set()
    for container_path, container in _items(component, "containers", path):
        yield from _container(container_path, container)
        for port_path, port in _items(container, "ports", container_path):
            yield from _port(port_path, port, port_names, sockets, host_network=_get(component, "host_network") is True)


def _port(
    path: Path, port: Any, names: set[str], sockets: set[tuple[Any, Any]], *, host_network: bool
) -> Iterator[Problem]:
    name, number, host_port = _get(port, "name"), _get(port, "container_port"), _get(port, "host_port")
    if isinstance(name, str):
        if name in names:
            yield Problem(
                (*path, "name"), f"the port name {name!r} is there twice", "names of ports are unique in a component"
            )
        names.add(name)
    if isinstance(number, int):
        # The containers of a component share one address, so a port can be taken once.
        protocol = str(_get(port, "protocol") or "TCP").upper()
        if (number, protocol) in sockets:
            yield Problem((*path, "container_port"), f"the port {number}/{protocol} is there twice", "list it once")
        sockets.add((number, protocol))
    if host_network and isinstance(host_port, int) and host_port != number:
        yield Problem(
            (*path, "host_port"),
            f"host_port {host_port} differs from container_port {number}",
            "with host_network they are the same",
        )


def _container(path: Path, container: Any) -> Iterator[Problem]:
    requirements = _get(container, "platform_requirements")
    parsers: dict[str, Callable[[Any], float]] = {
        "cpu": quantities.parse_cpu,
        "mcu": quantities.parse_cpu,
        "memory": quantities.parse_bytes,
        "gpu": quantities.parse_cpu,
    }
    for what, parse in parsers.items():
        requests, limits = _get(requirements, what, "requests"), _get(requirements, what, "limits")
        if requests is None or limits is None:
            continue
        try:
            exceeds = parse(requests) > parse(limits)
        except quantities.InvalidQuantity:
            continue  # reported as a fault of the field itself
        if exceeds:
            place = (*path, "platform_requirements", what, "requests")
            yield Problem(place, f"requests ({requests}) are above limits ({limits})", "lower requests or raise limits")
    names: set[str] = set()
    for env_path, variable in _items(container, "env", path):
        name = _get(variable, "name")
        if isinstance(name, str) and name in names:
            yield Problem((*env_path, "name"), f"the variable {name!r} is there twice", "keep one")
        if isinstance(name, str):
            names.add(name)
        if _get(variable, "value") is not None and _get(variable, "value_from") is not None:
            yield Problem(env_path, "value and value_from exclude each other", "keep one")


def _scaling(path: Path, scaling: Any) -> Iterator[Problem]:
    instances = _get(scaling, "instances")
    if _get(scaling, "scaling_mode") == "manual" and (
        instances is None or (isinstance(instances, int) and instances < 1)
    ):
        yield Problem(path, "manual scaling needs instances", "say how many, at least 1")


def _sensor(path: Path, sensor: Any, kinds: Sequence[str]) -> Iterator[Problem]:
    if isinstance(sensor, Mapping) and not any(_get(sensor, kind) is not None for kind in kinds):
        yield Problem(path, "the entry names no sensor", f"one of {', '.join(kinds)}")
    for kind in kinds:
        low, high = _get(sensor, kind, "measurement_min"), _get(sensor, kind, "measurement_max")
        if isinstance(low, (int, float)) and isinstance(high, (int, float)) and low > high:
            yield Problem(
                (*path, kind, "measurement_min"), f"measurement_min ({low}) is above measurement_max ({high})"
            )


def _dependencies(components: Sequence[tuple[Path, Any]], known: Mapping[str, Any]) -> Iterator[Problem]:
    graph: dict[str, list[tuple[str, Path]]] = {}
    for path, component in components:
        edges = []
        for edge_path, name in _items(component, "depends_on", path):
            yield from _reference(edge_path, name, known, "component")
            if isinstance(name, str) and name in known:
                edges.append((name, edge_path))
        name = _get(component, "metadata", "name")
        if isinstance(name, str):
            graph.setdefault(name, []).extend(edges)
    # Depth-first search with an explicit stack; an edge to a name on the current way closes a cycle.
    done: set[str] = set()
    for start in graph:
        way: list[str] = [start]
        stack = [iter(graph[start])] if start not in done else []
        while stack:
            edge = next(stack[-1], None)
            if edge is None:
                stack.pop()
                done.add(way.pop())
            elif edge[0] in way:
                cycle = [*way[way.index(edge[0]) :], edge[0]]
                yield Problem(
                    edge[1], f"depends_on goes in a circle: {' -> '.join(cycle)}", "remove one of these dependencies"
                )
            elif edge[0] not in done:
                way.append(edge[0])
                stack.append(iter(graph.get(edge[0], [])))


def _interaction_unit(path: Path, metric: Any) -> Iterator[Problem]:
    name, unit = _get(metric, "system_metric_id"), _get(metric, "measurement_unit")
    if isinstance(name, str) and isinstance(unit, str) and (name == "bandwidth") != (unit == "Mbps"):
        expected = "Mbps" if name == "bandwidth" else "milliseconds or seconds"
        yield Problem((*path, "measurement_unit"), f"{name} is not measured in {unit}", f"use {expected}")


def _single_nodes(data: Any, known: Mapping[str, Any]) -> Iterator[Problem]:
    grouped: set[str] = set()
    for path, group in _items(data, "single_node"):
        yield from _scaling((*path, "scaling"), _get(group, "scaling"))
        for member_path, name in _items(group, "components", path):
            yield from _reference(member_path, name, known, "component")
            if isinstance(name, str) and name in grouped:
                yield Problem(
                    member_path, f"the component {name!r} is in single_node twice", "a component runs on one node"
                )
            if isinstance(name, str):
                grouped.add(name)


def _satisfaction(data: Any, components: Sequence[tuple[Path, Any]]) -> Iterator[Problem]:
    weights = list(_items(_get(data, "global_satisfaction"), "achievement_weights", ("global_satisfaction",)))
    if not weights:
        return
    of_components = (
        _get(m, "application_metric_id") for path, c in components for _, m in _items(c, "qos_metrics", path)
    )
    of_interactions = (
        _get(m, "system_metric_id")
        for _, i in _items(data, "component_interactions")
        for _, m in _items(i, "interaction_metrics")
    )
    metrics = {name: None for name in chain(of_components, of_interactions) if isinstance(name, str)}
    seen: set[str] = set()
    values: list[float] = []
    for path, weight in weights:
        metric, value = _get(weight, "metric_id"), _get(weight, "weight")
        yield from _reference((*path, "metric_id"), metric, metrics, "metric")
        if isinstance(metric, str) and metric in seen:
            yield Problem((*path, "metric_id"), f"the metric {metric!r} is weighted twice", "add the weights up")
        if isinstance(metric, str):
            seen.add(metric)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            values.append(value)
    total = sum(values)
    if len(values) == len(weights) and abs(total - 1) >= _WEIGHT_TOLERANCE:
        yield Problem(
            ("global_satisfaction", "achievement_weights"),
            f"the weights sum to {total:g}, not 1",
            "they are shares of the whole",
        )


def _location(data: Any) -> Iterator[Problem]:
    location = _get(data, "location")
    if not isinstance(location, Sequence) or isinstance(location, str) or len(location) != 2:
        return
    for index, (name, bound) in enumerate((("longitude", 180), ("latitude", 90))):
        value = location[index]
        if isinstance(value, (int, float)) and not -bound <= value <= bound:
            yield Problem(
                ("location", index),
                f"the {name} {value:g} is not in -{bound}..{bound}",
                "location is [longitude, latitude] in degrees",
            )
