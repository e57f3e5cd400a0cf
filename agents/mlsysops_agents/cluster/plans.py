"""Plans of placement that were just worked out: who asks the same again gets the same, as long as it still holds.

A policy asks when it analyses and once more when it plans; the status of an application that fits nowhere asks, too.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mlsysops_core.contracts import PlacementOutcome
from mlsysops_core.model import Application

from mlsysops_agents.loop import current_cycle
from mlsysops_agents.placement import Demand, Fleet, Resources, Weights, first_objection

__all__ = ["Asked", "Plans", "has_room"]

#: Plans kept. One of an application that fits nowhere on a thousand nodes holds a thousand reasons.
_KEEP = 32


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What a plan was asked for.

    Attributes:
        application: The application.
        assigned: Its components in this cluster.
        placed: Component and node of what has its place.
        weights: What counts how much.
    """

    application: Application
    assigned: tuple[str, ...]
    placed: tuple[tuple[str, str], ...]
    weights: Weights

    def is_same(self, other: Asked) -> bool:
        """Say whether the same was asked for; a description that was read again is another one."""
        return self.application is other.application and (self.assigned, self.placed, self.weights) == (
            other.assigned,
            other.placed,
            other.weights,
        )


@dataclass(frozen=True, slots=True)
class _Plan:
    asked: Asked
    fleet: Fleet
    demands: tuple[Demand, ...]
    outcome: PlacementOutcome
    cycle: str


class Plans:
    """The newest plan of each application, of the last few."""

    def __init__(self) -> None:
        self._plans: OrderedDict[str, _Plan] = OrderedDict()

    def known(self, name: str, asked: Asked, fleet: Fleet) -> PlacementOutcome | None:
        """Return the plan for an application, if it is as good as a new one; None where it must be worked out.

        It is where nothing changed. Within one turn of the loop it also is where other applications have taken room
        meanwhile, as long as there is enough: a turn decides once.

        Args:
            name: The application.
            asked: What is asked for.
            fleet: The nodes as they are now.
        """
        plan = self._plans.get(name)
        if plan is None or not plan.asked.is_same(asked):
            return None
        if plan.fleet is fleet:
            # From here on it is this turn's, whoever had it worked out.
            self._plans[name] = replace(plan, cycle=_cycle())
            return plan.outcome
        if plan.cycle and plan.cycle == _cycle() and not plan.outcome.unplaced:
            return plan.outcome if has_room(fleet, plan.demands, plan.outcome.assignments) else None
        return None

    def keep(self, name: str, asked: Asked, fleet: Fleet, demands: Iterable[Demand], outcome: PlacementOutcome) -> None:
        """Keep a plan."""
        self._plans.pop(name, None)
        self._plans[name] = _Plan(asked, fleet, tuple(demands), outcome, _cycle())
        while len(self._plans) > _KEEP:
            self._plans.popitem(last=False)

    def forget(self, name: str) -> None:
        """Drop what is known of an application that is gone."""
        self._plans.pop(name, None)


def has_room(fleet: Fleet, demands: Iterable[Demand], hosts: Mapping[str, str]) -> bool:
    """Say whether nodes have room for demands beside all that runs.

    Args:
        fleet: The nodes.
        demands: What wants room.
        hosts: Node of each demand, by its first member.
    """
    taken: defaultdict[str, Resources] = defaultdict(Resources)
    for demand in demands:
        host = hosts[demand.members[0]]
        if host not in fleet.hosts:
            return False
        node = fleet[fleet.hosts[host]]
        if first_objection(demand, node, node.used + taken[host]) is not None:
            return False
        taken[host] = taken[host] + demand.resources
    return True


def _cycle() -> str:
    """Return the id of the turn of the loop that is running; empty outside of one."""
    record = current_cycle.get()
    return record.id if record is not None else ""
