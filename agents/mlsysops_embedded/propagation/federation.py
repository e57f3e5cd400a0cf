"""Runs propagation: the control plane's half, and a member's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlsysops_embedded.client import HttpClient, InformerFactory
from mlsysops_embedded.client.resources import CUSTOM_RESOURCE_DEFINITIONS
from mlsysops_embedded.propagation.bindings import Binder
from mlsysops_embedded.propagation.clusters import Clusters
from mlsysops_embedded.propagation.crds import karmada_crds
from mlsysops_embedded.propagation.detector import Detector
from mlsysops_embedded.propagation.execution import Executor
from mlsysops_embedded.propagation.membership import Membership
from mlsysops_embedded.release import GIT_VERSION

if TYPE_CHECKING:
    from pathlib import Path

    from mlsysops_embedded.client import Client

__all__ = ["MemberSettings", "run_member", "run_propagation"]


@dataclass(frozen=True, slots=True)
class MemberSettings:
    """How a member presents itself; times in seconds.

    Attributes:
        labels: Of its Cluster object, when that is made.
        version: Its Kubernetes version.
        renew: Between renewals of its Lease.
        duration: How long a Lease holds.
    """

    labels: dict[str, str] = field(default_factory=dict)
    version: str = GIT_VERSION
    renew: float = 10.0
    duration: float = 40.0


async def run_propagation(client: Client, *, grace: float = 40.0) -> None:
    """Install the Karmada kinds, then run Karmada's controllers for ever.

    Args:
        client: With the rights of karmada-controller-manager.
        grace: Seconds without heartbeat until a member's Ready becomes Unknown.
    """
    for definition in karmada_crds():
        name = definition["metadata"]["name"]
        await client.patch(
            CUSTOM_RESOURCE_DEFINITIONS, name, definition, patch_type="apply", field_manager="karmada", force=True
        )
    async with asyncio.TaskGroup() as group:
        informers = InformerFactory(client, group)
        detector = Detector(informers)
        binder = Binder(informers, detector.templates)
        detector.templates.subscribe(binder.template_changed)
        clusters = Clusters(informers, grace)
        for run in (detector.templates.run, detector.run, binder.run, clusters.run):
            group.create_task(run())


async def run_member(member: Client, cluster: str, kubeconfig: Path, *, settings: MemberSettings | None = None) -> None:
    """Be a pull-mode member for ever; a control plane above that is away changes nothing in the member.

    Args:
        member: API of the member itself.
        cluster: Name of the member there.
        kubeconfig: How to reach the control plane above.
        settings: How the member presents itself.

    Raises:
        InvalidInput: The kubeconfig is unusable.
    """
    settings = settings or MemberSettings()
    async with HttpClient.from_kubeconfig(kubeconfig, user_agent=f"karmada-agent/{cluster}") as upstream:
        membership = Membership(
            member,
            upstream,
            cluster,
            labels=settings.labels,
            version=settings.version,
            renew=settings.renew,
            duration=settings.duration,
        )
        await membership.join()
        async with asyncio.TaskGroup() as group:
            group.create_task(membership.run())
            group.create_task(Executor(member, upstream, cluster, group).run())
