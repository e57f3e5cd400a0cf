"""What is told of an agent's decisions that no turn of the loop tells: of plans handed over, cut short, or claimed by nobody."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from mlsysops_core.contracts import AgentIdentity, Clock, KnowledgeStore
from mlsysops_core.plugins import LoadedPolicy

from .record import CycleRecord, Trigger
from .scheduler import Plan, PlanResult

__all__ = ["Chronicle"]

_log = logging.getLogger(__name__)


class Chronicle:
    """Writes such decisions down and passes them on.

    Args:
        agent: Whose they are.
        clock: Time.
        knowledge: Where they are kept.
        on_decision: Called with each.
    """

    def __init__(
        self,
        agent: AgentIdentity,
        clock: Clock,
        knowledge: KnowledgeStore,
        on_decision: Callable[[Mapping[str, Any]], None] | None,
    ) -> None:
        self._agent = agent
        self._clock = clock
        self._knowledge = knowledge
        self._on_decision = on_decision

    def handed_over(self, policy: LoadedPolicy, asset: str, why: str) -> None:
        """Tell what stays in force of a policy that decides no longer."""
        last = next(
            (
                item
                for item in self._knowledge.decisions(asset, limit=200)
                if item.get("policy") == policy.name and item.get("outcome") == "executed"
            ),
            None,
        )
        record = self._record(policy.name, policy.version, asset, Trigger("change", why))
        record.verdict, record.outcome = "handed-over", "kept" if last else "nothing to keep"
        record.plan = dict((last or {}).get("plan") or {})
        record.message = f"{why}; the effect of decision {last['id']} stays" if last else why
        self._tell(record)

    def left_behind(self, plan: Mapping[str, Any], version: str) -> Trigger:
        """Tell of a plan that a killed process had begun and, where `outcome` is known, had ended.

        It is never executed again: its policy looks at what became of it.

        Args:
            plan: As the knowledge store has it.
            version: Version of its policy now, for plans written down without one.

        Returns:
            Why its asset is to be looked at.
        """
        asset, policy, outcome = str(plan.get("asset")), str(plan.get("policy")), str(plan.get("outcome") or "")
        _log.info("plan %s of %s on %s was left behind: %s", plan["id"], policy, asset, outcome or "interrupted")
        trigger = Trigger("retry", "interrupted plan")
        record = self._record(policy, str(plan.get("version") or version), asset, trigger)
        record.id, record.verdict = str(plan["id"]), "adapt"
        record.time = float(plan.get("time") or record.time)
        record.plan = dict(plan.get("commands") or {})
        if outcome:
            record.outcome = outcome
            record.scheduler = f"{outcome}: the agent was ended before it could tell more of it"
        else:
            record.outcome = "interrupted"
            record.scheduler = "interrupted: the agent was ended while it executed this plan"
        self._tell(record)
        return trigger

    def unclaimed(self, plan: Plan, result: PlanResult) -> None:
        """Tell of a plan whose turn was ended (its policy or asset is gone) while it was being executed."""
        record = self._record(plan.policy, plan.version, plan.asset, Trigger("change", "policy or asset gone"))
        record.id, record.verdict, record.outcome = plan.id, "adapt", result.action
        record.plan = {name: dict(command) for name, command in plan.commands.items()}
        record.scheduler = f"{result.action}: {result.reason}" if result.reason else result.action
        self._tell(record)

    def _record(self, policy: str, version: str, asset: str, trigger: Trigger) -> CycleRecord:
        return CycleRecord(self._agent.tier, self._agent.name, asset, policy, version, (trigger,), self._clock.time())

    def _tell(self, record: CycleRecord) -> None:
        decision = record.as_dict()
        self._knowledge.record(decision)
        if self._on_decision is not None:
            self._on_decision(decision)
