"""The MAPE-K loop: one engine for all tiers, which knows neither tiers nor Kubernetes."""

from __future__ import annotations

from .clock import SystemClock, VirtualClock
from .cycle import CycleSettings, Inputs
from .engine import Engine, EngineSettings
from .knowledge import SqliteKnowledge
from .record import Trigger, current_cycle, explain, status_entry
from .scheduler import Plan, PlanResult, PlanScheduler, SchedulerSettings

__all__ = [
    "CycleSettings",
    "Engine",
    "EngineSettings",
    "Inputs",
    "Plan",
    "PlanResult",
    "PlanScheduler",
    "SchedulerSettings",
    "SqliteKnowledge",
    "SystemClock",
    "Trigger",
    "VirtualClock",
    "current_cycle",
    "explain",
    "status_entry",
]
