"""What a component, or a group of components that must share a node, demands of its node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlsysops_core.model import Application, Component
from mlsysops_core.model.components import NodePlacement
from mlsysops_core.model.containers import CpuRequest, FpgaRequest, GpuRequest, McuRequest

from .facts import Resources
from .goals import GOALS, importance, interaction_weights

__all__ = ["Demand", "demands_of", "in_start_order", "interactions_of"]


@dataclass(frozen=True, slots=True)
class Demand:
    """The sum of what its members need.

    Attributes:
        members: The components; more than one where ``single_node`` binds them.
        placements: Where they may be; each must hold.
        components: Their descriptions.
        resources: What they request together.
        cpus: CPU needs of their containers, likewise the rest.
        application: The application they belong to.
        importance: How much each soft goal matters to them (`goals.GOALS`).
    """

    members: tuple[str, ...]
    placements: tuple[NodePlacement, ...]
    components: tuple[Component, ...]
    resources: Resources
    cpus: tuple[CpuRequest, ...] = ()
    mcus: tuple[McuRequest, ...] = ()
    gpus: tuple[GpuRequest, ...] = ()
    fpgas: tuple[FpgaRequest, ...] = ()
    application: str = ""
    importance: tuple[float, ...] = (0.0,) * len(GOALS)

    @classmethod
    def of(
        cls,
        components: Sequence[Component],
        placement: NodePlacement | None = None,
        *,
        application: str = "",
        achievement: Mapping[str, float] | None = None,
        prefix: str = "",
    ) -> Demand:
        """Add up components.

        Args:
            components: Those that must share a node.
            placement: Overrides their own.
            application: The application they belong to.
            achievement: Metric to its weight in ``global_satisfaction``.
            prefix: Goes before each name.
        """
        own = tuple(component.node_placement for component in components if component.node_placement is not None)
        needs = [container.requirements for component in components for container in component.containers]
        gpus = tuple(need.gpu for need in needs if need.gpu is not None)
        return cls(
            members=tuple(prefix + component.name for component in components),
            placements=own if placement is None else (placement,),
            components=tuple(components),
            resources=Resources(
                cpu=sum(component.cpu_request for component in components),
                memory=sum(component.memory_request for component in components),
                disk=sum(component.disk_request for component in components),
                gpu=sum(gpu.requests or gpu.limits or 0 for gpu in gpus),
            ),
            cpus=tuple(need.cpu for need in needs if need.cpu is not None),
            mcus=tuple(need.mcu for need in needs if need.mcu is not None),
            gpus=gpus,
            fpgas=tuple(need.fpga for need in needs if need.fpga is not None),
            application=application,
            importance=importance(components, achievement or {}),
        )


def demands_of(
    application: Application,
    only: Iterable[str] | None = None,
    *,
    fixed: Mapping[str, str] | None = None,
    prefix: str = "",
) -> list[Demand]:
    """Return the demands of an application: one a ``single_node`` group, one each other component.

    Args:
        application: The application.
        only: The components that matter; all where None.
        fixed: Component to node of what has its place: no demand any more, but the rest of its group must join it.
        prefix: Goes before each name, where components of several applications are placed together.
    """
    satisfaction = application.global_satisfaction
    about: dict[str, Any] = {
        "application": application.name,
        "achievement": {item.metric_id: item.weight for item in satisfaction.achievement_weights}
        if satisfaction
        else {},
        "prefix": prefix,
    }
    placed = fixed or {}
    wanted = {component.name for component in application.components} if only is None else set(only)
    by_name = {
        component.name: component
        for component in application.components
        if component.name in wanted and component.name not in placed
    }
    demands: list[Demand] = []
    grouped: set[str] = set()
    for group in application.single_node:
        members = [by_name[name] for name in group.components if name in by_name and name not in grouped]
        if not members:
            continue
        grouped.update(member.name for member in members)
        hosts = [placed[name] for name in group.components if name in placed]
        demands.append(Demand.of(members, group.model_copy(update={"node": hosts[0]}) if hosts else group, **about))
    demands.extend(Demand.of([component], **about) for name, component in by_name.items() if name not in grouped)
    return demands


def interactions_of(application: Application, prefix: str = "") -> list[tuple[str, str, float]]:
    """Return the pairs of components that talk to each other, and how much their distance matters."""
    return interaction_weights(application, prefix)


def in_start_order(application: Application) -> list[str]:
    """Return the components so that each comes after those it depends on; members of a cycle come last."""
    ordered: list[str] = []
    waiting = {component.name: set(component.depends_on) - {component.name} for component in application.components}
    while waiting:
        free = [name for name, needs in waiting.items() if not needs & waiting.keys()] or list(waiting)
        ordered.extend(free)
        for name in free:
            del waiting[name]
    return ordered
