"""The cluster's own status: which agents are alive, and how many nodes are ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlsysops_agents.adapters.health import condition
from mlsysops_agents.upper.told import own_conditions

__all__ = ["cluster_status"]


def cluster_status(
    before: Mapping[str, Any],
    *,
    generation: Any,
    agents: Sequence[Mapping[str, Any]],
    wanted: Sequence[str],
    nodes: Mapping[str, bool],
    policies: Sequence[Mapping[str, str]],
    plugin_fault: str,
    now: float,
    placement_fault: str = "",
) -> dict[str, Any]:
    """Return the status of the MLSysOpsCluster.

    Args:
        before: The status so far.
        generation: Generation of the MLSysOpsCluster.
        agents: From `LeaseWatch.agents`.
        wanted: Names of the nodes that the cluster is described with.
        nodes: Described node to whether it is ready.
        policies: The engine's conditions: analyses whose circuit breaker is open.
        plugin_fault: Why plug-ins do not load; empty where they do.
        now: Seconds since the Unix epoch.
        placement_fault: Why there is no exact placement though it is asked for; empty where there is, or is not to be.
    """
    silent = [f"{agent['tier']} agent {agent['name']}" for agent in agents if not agent["ready"]]
    alive = {agent["name"] for agent in agents if agent["tier"] == "node" and agent["ready"]}
    known = {agent["name"] for agent in agents}
    silent += [f"node agent {name}" for name in wanted if name not in known]
    unready = [name for name, ready in nodes.items() if not ready]
    problems = [f"{', '.join(silent)} silent"] if silent else []
    problems += [f"node {', '.join(unready)} not ready"] if unready else []
    reason = "AgentSilent" if silent else "NodeNotReady" if unready else "AllReady"
    if plugin_fault:
        problems, reason = [plugin_fault], "PluginError"
    message = "; ".join(problems) or f"{len(alive)} node agents and {len(nodes)} nodes are ready"
    conditions = own_conditions(
        before,
        ready=not problems,
        reason=reason,
        message=message,
        policies=policies,
        plugin_fault=plugin_fault,
        generation=generation,
        now=now,
    )
    if placement_fault:
        told = ("ExactPlacement", False, "SolverMissing", placement_fault)
        conditions.append(condition(before, *told, generation=generation, now=now))
    return {
        "observedGeneration": generation,
        "conditions": conditions,
        "agents": [dict(agent) for agent in agents],
        "nodes": {"total": len(nodes), "ready": sum(nodes.values())},
    }
