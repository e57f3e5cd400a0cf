"""Whether components that talk can reach each other: said where the network between clusters is not ours to promise."""

from __future__ import annotations

from collections.abc import Mapping

from mlsysops_core.model import Application

__all__ = ["reachability"]


def reachability(application: Application, placed: Mapping[str, str]) -> tuple[bool | None, str, str]:
    """Return status, reason and message of the condition ``Reachable``.

    A component's Service exists in its own cluster. Beyond it a component is reached where it takes part in its host's network
    (``host_network``) or is published (``external_access``), provided that a route leads there, which no agent can see: Unknown.

    Args:
        application: The application.
        placed: Component to cluster.
    """
    apart: list[str] = []
    published: list[str] = []
    for item in application.component_interactions:
        ends = (item.component_name1, item.component_name2)
        # The source opens the connection where traffic leaves it (egress), the destination where it enters (ingress).
        client, server = ends if item.type != "ingress" else ends[::-1]
        here, there = placed.get(client), placed.get(server)
        if here is None or there is None or here == there:
            continue
        text = f"{client} ({here}) talks to {server} ({there})"
        component = application.component(server)
        if component is not None and (component.external_access or component.host_network):
            published.append(text)
        else:
            apart.append(text)
    if apart:
        message = (
            f"across clusters: {', '.join(apart)}; a Service is reached in its own cluster only, unless the clusters' networks"
            " are joined; external_access or host_network publishes a component, one cluster_id keeps them together"
        )
        return False, "AcrossClusters", message
    if published:
        return (
            None,
            "ByHostNetwork",
            f"across clusters, as far as the hosts' network leads there: {', '.join(published)}",
        )
    return True, "SameCluster", "components that talk share a cluster"
