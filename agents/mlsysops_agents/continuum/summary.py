"""The continuum's own status: every agent of every cluster, and how many nodes are ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlsysops_agents.placement.disruption import is_disrupted
from mlsysops_agents.upper.told import own_conditions

__all__ = ["continuum_status"]


def continuum_status(
    before: Mapping[str, Any],
    *,
    generation: Any,
    own_agents: Sequence[Mapping[str, Any]],
    clusters: Mapping[str, Mapping[str, Any]],
    silent: Mapping[str, str],
    policies: Sequence[Mapping[str, str]],
    plugin_fault: str,
    now: float,
) -> dict[str, Any]:
    """Return the status of the MLSysOpsContinuum.

    Args:
        before: The status so far.
        generation: Generation of the MLSysOpsContinuum.
        own_agents: Agents with a Lease in the continuum's own API.
        clusters: Registered cluster to its status; empty where it has not spoken yet.
        silent: Clusters that are out of reach, and why.
        policies: The engine's conditions: analyses whose circuit breaker is open.
        plugin_fault: Why plug-ins do not load; empty where they do.
        now: Seconds since the Unix epoch.
    """
    agents = [dict(agent) for agent in own_agents]
    problems = [f"{agent['tier']} agent {agent['name']} is silent" for agent in own_agents if not agent["ready"]]
    total = ready = 0
    for name, status in sorted(clusters.items()):
        # What a silent cluster said last is no word on how its agents are now.
        agents += [{**agent, "ready": agent["ready"] and name not in silent} for agent in status.get("agents") or ()]
        total += int((status.get("nodes") or {}).get("total") or 0)
        ready += int((status.get("nodes") or {}).get("ready") or 0) if name not in silent else 0
        if name in silent:
            problems.append(f"cluster {name}: {silent[name]}")
            continue
        found = next((item for item in status.get("conditions") or () if item.get("type") == "Ready"), None)
        if found is None:
            problems.append(f"cluster {name} has not spoken yet")
        elif found.get("status") != "True":
            problems.append(f"cluster {name}: {found.get('message')}")
    if is_disrupted(len(clusters) - len(silent), len(clusters)):
        problems.append(
            "most clusters are silent at once, so nothing leaves them: it is likelier that they cannot be heard"
        )
    if plugin_fault:
        problems.insert(0, plugin_fault)
    reason = "PluginError" if plugin_fault else "NotReady" if problems else "AllReady"
    message = "; ".join(problems) or f"{len(agents)} agents in {len(clusters)} clusters are ready"
    return {
        "observedGeneration": generation,
        "conditions": own_conditions(
            before,
            ready=not problems,
            reason=reason,
            message=message,
            policies=policies,
            plugin_fault=plugin_fault,
            generation=generation,
            now=now,
        ),
        "agents": agents,
        "nodes": {"total": total, "ready": ready},
    }
