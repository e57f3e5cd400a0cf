"""Hard constraints by name: each says why a node cannot host a demand, or nothing.

The order is the order in which they are tried and explained: what the owner wrote about the place first, then the node's
present state, then software, then hardware. A fact that is unknown never satisfies a demand, and the reason says "unknown".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mlsysops_core.quantities import format_frequency, parse_bytes

from .demand import Demand
from .facts import NodeFacts, Resources
from .sensors import sensors_reason

__all__ = ["FILTERS", "Filter", "first_objection"]

#: Demand, node, what is in use on the node -> reason, empty where the node passes.
Filter = Callable[[Demand, NodeFacts, Resources], str]

_ANYWHERE = "*"
_DEFAULT_RUNTIME_CLASS = "default"
#: Rounding of floating-point sums of cores.
_EPSILON = 1e-9


def _node(demand: Demand, node: NodeFacts, _used: Resources) -> str:
    for placement in demand.placements:
        if placement.node is not None and placement.node != node.name:
            return f"needs node {placement.node}"
    return ""


def _continuum_layer(demand: Demand, node: NodeFacts, _used: Resources) -> str:
    for placement in demand.placements:
        layers = placement.continuum_layer
        if layers and _ANYWHERE not in layers:
            if node.description is None:
                return f"needs {' or '.join(layers)}, is unknown"
            if node.description.continuum_layer not in layers:
                return f"needs {' or '.join(layers)}, is {node.description.continuum_layer}"
    return ""


def _labels(demand: Demand, node: NodeFacts, _used: Resources) -> str:
    missing = sorted({label for placement in demand.placements for label in placement.labels} - node.labels)
    return f"lacks {', '.join(missing)}" if missing else ""


def _mobile(demand: Demand, node: NodeFacts, _used: Resources) -> str:
    # A node that does not say it moves is stationary.
    moves = bool(node.description is not None and node.description.mobile)
    for placement in demand.placements:
        if placement.mobile is True and not moves:
            return "needs a mobile node"
        if placement.mobile is False and moves:
            return "needs a stationary node"
    return ""


def _ready(_demand: Demand, node: NodeFacts, _used: Resources) -> str:
    return (node.not_ready or "not ready") if node.ready is False else ""


def _unschedulable(_demand: Demand, node: NodeFacts, _used: Resources) -> str:
    return "cordoned" if node.unschedulable else ""


def _taint(_demand: Demand, node: NodeFacts, _used: Resources) -> str:
    return f"tainted {', '.join(node.taints)}" if node.taints else ""


def _sensors(demand: Demand, node: NodeFacts, _used: Resources) -> str:
    wanted = [sensor for component in demand.components for sensor in component.sensors]
    if not wanted:
        return ""
    if node.description is None:
        return "needs sensors, those of the node are unknown"
    return sensors_reason(wanted, node.description.sensors)


def _node_type(demand: Demand, node: NodeFacts, _used: Resources) -> str:
    is_type = node.description.environment.node_type if node.description is not None else None
    return _each([component.node_type for component in demand.components], is_type)


def _os(demand: Demand, node: NodeFacts, _used: Resources) -> str:
    return _each([component.os for component in demand.components], node.os)


def _container_runtime(demand: Demand, node: NodeFacts, _used: Resources) -> str:
    for component in demand.components:
        wanted = component.container_runtime
        if wanted is not None and wanted not in node.container_runtimes:
            return f"needs {wanted}, has {', '.join(sorted(node.container_runtimes)) or 'unknown'}"
    return ""


def _runtime_class(demand: Demand, node: NodeFacts, _used: Resources) -> str:
    for component in demand.components:
        wanted = component.runtime_class_name
        if wanted is None or wanted == _DEFAULT_RUNTIME_CLASS or wanted in node.labels:
            continue
        if node.runtime_classes is None:
            return f"needs {wanted}, those of the node are unknown"
        if wanted not in node.runtime_classes:
            return f"needs {wanted}, has {', '.join(sorted(node.runtime_classes)) or 'none'}"
    return ""


def _architecture(demand: Demand, node: NodeFacts, _used: Resources) -> str:
    for cpu in demand.cpus:
        if cpu.architecture and node.architecture not in cpu.architecture:
            return f"needs {' or '.join(cpu.architecture)}, is {node.architecture or 'unknown'}"
    return ""


def _cpu_frequency(demand: Demand, node: NodeFacts, _used: Resources) -> str:
    wanted = max((cpu.frequency for cpu in demand.cpus if cpu.frequency), default=0.0)
    if not wanted:
        return ""
    processor = node.description.hardware.cpu if node.description is not None else None
    if processor is None or not processor.frequency:
        return f"needs {format_frequency(wanted)}, is unknown"
    highest = max(processor.frequency)
    return "" if highest >= wanted else f"needs {format_frequency(wanted)}, reaches {format_frequency(highest)}"


def _cpu_performance(demand: Demand, node: NodeFacts, _used: Resources) -> str:
    wanted = max((cpu.performance_indicator for cpu in demand.cpus if cpu.performance_indicator), default=0.0)
    processor = node.description.hardware.cpu if node.description is not None else None
    return _at_least("BogoMIPS", wanted, processor.performance_indicator if processor else None)


def _cpu(demand: Demand, node: NodeFacts, used: Resources) -> str:
    wanted = demand.resources.cpu
    if not wanted:
        return ""
    if node.cpu is None:
        return f"needs {_cores(wanted)}, is unknown"
    free = node.cpu - used.cpu
    return "" if wanted <= free + _EPSILON else f"needs {_cores(wanted)}, {max(free, 0.0):.4g} free"


def _cores(amount: float) -> str:
    return f"{amount:.4g} core{'' if amount == 1 else 's'}"


def _memory(demand: Demand, node: NodeFacts, used: Resources) -> str:
    return _bytes(demand.resources.memory, node.memory, used.memory)


def _disk(demand: Demand, node: NodeFacts, used: Resources) -> str:
    return _bytes(demand.resources.disk, node.disk, used.disk)


def _gpu(demand: Demand, node: NodeFacts, used: Resources) -> str:
    if not demand.gpus:
        return ""
    if node.gpus is None:
        return "needs a GPU, is unknown"
    offered = node.description.hardware.gpu if node.description is not None else None
    if node.gpus == 0:
        return "needs a GPU, has none"
    for gpu in demand.gpus:
        if gpu.model is not None and gpu.model != (offered.model if offered else None):
            return f"needs {gpu.model}, is {(offered.model if offered else None) or 'unknown'}"
        if gpu.memory_bytes and (reason := _gigabytes(gpu.memory_bytes, offered.memory if offered else None)):
            return reason
        reason = _at_least("BogoMIPS", gpu.performance_indicator, offered.performance_indicator if offered else None)
        if reason:
            return reason
    free = node.gpus - used.gpu
    return "" if demand.resources.gpu <= free else f"needs {demand.resources.gpu:g} GPUs, {max(free, 0):g} free"


def _fpga(demand: Demand, node: NodeFacts, _used: Resources) -> str:
    offered = node.description.hardware.fpga if node.description is not None else None
    for fpga in demand.fpgas:
        if offered is None:
            return "needs an FPGA, " + ("has none" if node.description is not None else "is unknown")
        if reason := _each([fpga.model], offered.model):
            return reason
        if fpga.memory_bytes and (reason := _gigabytes(fpga.memory_bytes, offered.memory)):
            return reason
        if reason := _at_least("BogoMIPS", fpga.performance_indicator, offered.performance_indicator):
            return reason
    return ""


def _mcu(demand: Demand, node: NodeFacts, _used: Resources) -> str:
    offered = node.description.hardware.mcu if node.description is not None else None
    for mcu in demand.mcus:
        if offered is None:
            return "needs an MCU, " + ("has none" if node.description is not None else "is unknown")
        if mcu.architecture and offered.architecture not in mcu.architecture:
            return f"needs {' or '.join(mcu.architecture)}, is {offered.architecture or 'unknown'}"
        if mcu.flash is not None and (offered.flash_bytes is None or offered.flash_bytes < parse_bytes(mcu.flash)):
            return f"needs {mcu.flash} of flash, has {offered.flash or 'unknown'}"
        if mcu.frequency_hz and (offered.frequency is None or offered.frequency < mcu.frequency_hz):
            has = "unknown" if offered.frequency is None else format_frequency(offered.frequency)
            return f"needs {format_frequency(mcu.frequency_hz)}, has {has}"
        if reason := _at_least("BogoMIPS", mcu.performance_indicator, offered.performance_indicator):
            return reason
    return ""


def _each(wanted: Sequence[str | None], given: str | None) -> str:
    for item in wanted:
        if item is not None and item != given:
            return f"needs {item}, is {given or 'unknown'}"
    return ""


def _at_least(unit: str, wanted: float | None, given: float | None) -> str:
    if not wanted:
        return ""
    if given is None:
        return f"needs {wanted:g} {unit}, is unknown"
    return "" if given >= wanted else f"needs {wanted:g} {unit}, has {given:g}"


def _bytes(wanted: int, capacity: int | None, used: int) -> str:
    if not wanted:
        return ""
    if capacity is None:
        return f"needs {_size(wanted)}, is unknown"
    free = capacity - used
    return "" if wanted <= free else f"needs {_size(wanted)}, {_size(max(free, 0))} free"


def _size(amount: int) -> str:
    """Return bytes for people: three digits are enough to see what is missing."""
    for factor, unit in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if amount >= factor:
            return f"{amount / factor:.4g} {unit}"
    return f"{amount} B"


def _gigabytes(wanted: int, given: float | str | None) -> str:
    if given is None:
        return f"needs {_size(wanted)} of its memory, is unknown"
    has = parse_bytes(given, default_unit="G")
    return "" if has >= wanted else f"needs {_size(wanted)} of its memory, has {_size(has)}"


FILTERS: Mapping[str, Filter] = {
    "node": _node,
    "continuum_layer": _continuum_layer,
    "labels": _labels,
    "mobile": _mobile,
    "ready": _ready,
    "unschedulable": _unschedulable,
    "taint": _taint,
    "sensors": _sensors,
    "node_type": _node_type,
    "os": _os,
    "container_runtime": _container_runtime,
    "runtime_class": _runtime_class,
    "architecture": _architecture,
    "cpu_frequency": _cpu_frequency,
    "cpu_performance": _cpu_performance,
    "cpu": _cpu,
    "memory": _memory,
    "disk": _disk,
    "gpu": _gpu,
    "fpga": _fpga,
    "mcu": _mcu,
}


def first_objection(demand: Demand, node: NodeFacts, used: Resources | None = None) -> tuple[str, str] | None:
    """Return the first filter that removes a node and why, or None where it fits.

    Args:
        demand: What is to be placed.
        node: The candidate.
        used: What is in use on it, where that differs from the facts.
    """
    in_use = node.used if used is None else used
    for name, check in FILTERS.items():
        if reason := check(demand, node, in_use):
            return name, reason
    return None
