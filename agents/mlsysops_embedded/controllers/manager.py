"""Runs all controllers of a control plane over one set of informers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mlsysops_embedded.client import EventRecorder, InformerFactory
from mlsysops_embedded.controllers import (
    daemonset,
    deployment,
    endpoints,
    expiry,
    garbage,
    namespace,
    nodes,
    replicaset,
    tokens,
)
from mlsysops_embedded.controllers.context import Context, Settings

if TYPE_CHECKING:
    from mlsysops_embedded.client import Client

__all__ = ["run_controllers"]

_COMMON = (namespace, garbage, expiry, tokens)
_WORKLOADS = (deployment, replicaset, daemonset, endpoints, nodes)


async def run_controllers(client: Client, *, settings: Settings | None = None, workloads: bool = True) -> None:
    """Run the controllers and the scheduler for ever; cancel to stop.

    Args:
        client: With the rights of kube-controller-manager and kube-scheduler.
        settings: Knobs; Kubernetes' defaults where None.
        workloads: Whether workloads run here. Where they are templates for other clusters, neither their controllers nor the
            scheduler run, as in Karmada's own kube-controller-manager.
    """
    from mlsysops_embedded.scheduler.loop import run as run_scheduler

    async with asyncio.TaskGroup() as group:
        informers = InformerFactory(client, group)
        events = EventRecorder(client, "controllermanager")
        context = Context(client, informers, events, settings or Settings())
        for controller in (*_COMMON, *(_WORKLOADS if workloads else ())):
            name = controller.__name__.rpartition(".")[2]
            group.create_task(controller.run(context), name=f"controller-{name}")
        if workloads:
            group.create_task(run_scheduler(client, informers))
        group.create_task(events.run(), name="events")
