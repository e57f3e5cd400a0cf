"""The record of one cycle: what set it off, what was seen, decided and done, and how long each stage took."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from mlsysops_core.contracts import Rejected

from .plain import plain
from .sizes import shortened

__all__ = ["IN_STATUS", "CycleRecord", "Trigger", "Verdict", "current_cycle", "explain", "status_entry"]

Verdict = Literal["no-change", "adapt", "no-plan", "error", "handed-over"]
#: Rejections kept with one decision; a placement on thousands of nodes must not fill the store.
_MAX_REJECTED = 200
_MAX_REJECTED_IN_STATUS = 50
#: Characters of a plan, and of inputs, that the status of an object has room for: it holds 20 decisions, an object 1 MiB.
IN_STATUS = 16 * 1024
_LONGEST_TEXT = 1024

#: The cycle on whose behalf the running code runs; each policy call runs in a context of its own.
current_cycle: ContextVar[CycleRecord | None] = ContextVar("mlsysops_current_cycle", default=None)


@dataclass(frozen=True, slots=True)
class Trigger:
    """Why an analysis is due.

    Attributes:
        kind: Family of the cause.
        subject: The metric, object or policy that it was.
    """

    kind: Literal["telemetry", "change", "timer", "start", "retry", "conflict", "request"]
    subject: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}" if self.subject else self.kind


@dataclass(slots=True)
class CycleRecord:
    """One turn of the loop for one policy and one asset."""

    tier: str
    agent: str
    asset: str
    policy: str
    version: str
    triggers: tuple[Trigger, ...]
    time: float
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:16])
    verdict: Verdict = "no-change"
    component: str | None = None
    message: str = ""
    plan: dict[str, Any] = field(default_factory=dict)
    outcome: str = ""
    scheduler: str = ""
    rejected: list[Rejected] = field(default_factory=list)
    inputs: dict[str, Any] = field(default_factory=dict)
    duration_ms: dict[str, float] = field(default_factory=dict)

    def explain(self, rejected: Iterable[Rejected], message: str, component: str | None) -> None:
        """Take up what a policy said about its decision."""
        self.rejected.extend(rejected)
        del self.rejected[_MAX_REJECTED:]
        if message:
            self.message = f"{self.message}; {message}" if self.message else message
        if component is not None:
            self.component = component

    def as_dict(self) -> dict[str, Any]:
        """Return the decision as the status of an application and the knowledge store hold it: nothing but JSON."""
        decision = {
            "id": self.id,
            "time": datetime.fromtimestamp(self.time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "tier": self.tier,
            "agent": self.agent,
            "asset": self.asset,
            "trigger": ", ".join(dict.fromkeys(map(str, self.triggers))),
            "policy": self.policy,
            "policyVersion": self.version,
            "verdict": self.verdict,
            "component": self.component,
            "message": self.message,
            "inputs": self.inputs,
            "plan": self.plan,
            "scheduler": self.scheduler,
            "outcome": self.outcome,
            "rejected": [{**item.as_dict(), "component": item.component} for item in self.rejected],
            "durationMs": {stage: round(value, 3) for stage, value in self.duration_ms.items()},
        }
        told: dict[str, Any] = plain(decision)
        return told


def explain(rejected: Iterable[Rejected] = (), message: str = "", component: str | None = None) -> None:
    """Add to the record of the cycle that the caller runs in; does nothing outside of one."""
    record = current_cycle.get()
    if record is not None:
        record.explain(rejected, message, component)


def status_entry(decision: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a decision that the status of an application keeps; the knowledge store has the rest."""
    outcome = str(decision.get("outcome") or "")
    detail = str(decision.get("message") or "")
    if outcome not in ("", "executed"):
        detail = str(decision.get("scheduler") or detail)
    entry = {key: decision[key] for key in ("id", "time", "tier", "agent", "asset", "trigger", "policy", "verdict")}
    if decision.get("component"):
        entry["component"] = decision["component"]
    return {
        **entry,
        "policyVersion": str(decision.get("policyVersion") or ""),
        "inputs": shortened(decision.get("inputs") or {}, IN_STATUS),
        "plan": shortened(decision.get("plan") or {}, IN_STATUS),
        "scheduler": shortened(str(decision.get("scheduler") or ""), _LONGEST_TEXT),
        "outcome": shortened(": ".join(part for part in (outcome or "nothing done", detail) if part), _LONGEST_TEXT),
        "rejected": [
            {key: str(item[key]) for key in ("candidate", "filter", "reason")}
            for item in decision.get("rejected") or ()
        ][:_MAX_REJECTED_IN_STATUS],
        "durationMs": decision.get("durationMs") or {},
    }
