"""Whether components that talk can reach each other: said where the network between clusters is not ours to promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlsysops_core.model import Application

__all__ = ["reachability"]


def reachability(
    application: Application, placed: Mapping[str, str], said: Mapping[str, Mapping[str, Any]]
) -> tuple[bool | None, str, str]:
    """Return status, reason and message of the condition ``Reachable``.

    A component in another cluster has a Service in each cluster of its application, which leads to its pod's address. Whether
    packets find their way there is tried by the clusters' agents, whose word counts. A component without ports has no Service; it
    may take part in its host's network (``host_network``) or be published (``external_access``).

    Args:
        application: The application.
        placed: Component to cluster.
        said: Cluster to the application's status there.
    """
    apart: list[str] = []
    published: list[str] = []
    without: list[str] = []
    for item in application.component_interactions:
        ends = (item.component_name1, item.component_name2)
        # The source opens the connection where traffic leaves it (egress), the destination where it enters (ingress).
        client, server = ends if item.type != "ingress" else ends[::-1]
        here, there = placed.get(client), placed.get(server)
        if here is None or there is None or here == there:
            continue
        text = f"{client} ({here}) talks to {server} ({there})"
        component = application.component(server)
        if component is not None and any(container.ports for container in component.containers):
            apart.append(text)
        elif component is not None and (component.external_access or component.host_network):
            published.append(text)
        else:
            without.append(text)
    if without:
        return False, "NoPorts", f"across clusters, to a component without ports: {', '.join(without)}"
    if published:
        text = "across clusters, as far as the hosts' network leads there (without ports nothing can be tried)"
        return None, "ByHostNetwork", f"{text}: {', '.join(published)}"
    if not apart:
        return True, "SameCluster", "components that talk share a cluster"
    words = {cluster: _word(said.get(cluster) or {}) for cluster in sorted(set(placed.values()))}
    bad = [
        f"cluster {cluster}: {word.get('message')}" for cluster, word in words.items() if word.get("status") == "False"
    ]
    if bad:
        message = (
            f"across clusters: {', '.join(apart)}; {'; '.join(bad)}; join the clusters' networks, use host_network, or keep the"
            " components together with one cluster_id"
        )
        return False, "NotReached", message
    if any(word.get("status") == "Unknown" for word in words.values()) or not all(words.values()):
        silent = [
            f"cluster {cluster}: {word.get('message') or 'has not said anything yet'}"
            for cluster, word in words.items()
            if word.get("status") != "True"
        ]
        return None, "NotKnown", f"across clusters: {', '.join(apart)}; {'; '.join(silent)}"
    return True, "AcrossClusters", f"across clusters, and reached: {', '.join(apart)}"


def _word(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a cluster's condition; one that has nobody to reach elsewhere is content."""
    for item in status.get("conditions") or ():
        if item.get("type") == "Reachable":
            return dict(item)
    return {"status": "True"} if status.get("conditions") else {}
