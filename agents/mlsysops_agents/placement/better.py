"""Whether a plan that was found a while ago is still better than what is there."""

from __future__ import annotations

from collections.abc import Mapping

from mlsysops_core.contracts import PlacementOutcome

from .build import Built
from .problem import SCALE, objective, violations

__all__ = ["better_places"]


def better_places(built: Built, hosts: Mapping[str, str]) -> PlacementOutcome | None:
    """Return the moves of a plan that is sound and pays for its moves; None where it does not any more.

    Args:
        built: The application as it is now: every demand with its present node.
        hosts: Node of the demands that had better move, by their first member.
    """
    index = {node.name: host for host, node in enumerate(built.nodes)}
    present = list(built.problem.current)
    plan = [
        index.get(hosts[demand.members[0]], -1) if demand.members[0] in hosts else present[item]
        for item, demand in enumerate(built.demands)
    ]
    if min(plan, default=0) < 0 or plan == present or violations(built.problem, plan):
        return None
    before, after = objective(built.problem, present), objective(built.problem, plan)
    if after >= before:
        return None
    moves = {
        member: built.nodes[host].name
        for demand, host, there in zip(built.demands, plan, present, strict=True)
        if host != there
        for member in demand.members
    }
    gain = (before[1] - after[1]) / SCALE
    text = f"{len(moves)} moves save {gain:.3g} more than they cost"
    return PlacementOutcome(assignments=moves, explain=dict.fromkeys(moves, text))
