"""The decisions about each application: kept for its status, written to the log, and told as Events where they matter."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from mlsysops_core.contracts import KnowledgeStore, Objects
from mlsysops_core.model.status import MAX_DECISIONS

from mlsysops_agents.loop.story import repeats, story

from .world import APP, ASSET

__all__ = ["Decisions"]

_log = logging.getLogger(__name__)

#: Outcomes of plans that are worth an Event, and its reason.
_BAD_OUTCOMES = {"failed": "PlanFailed", "rolled-back": "PlanRolledBack", "held": "Oscillation"}


class Decisions:
    """What an agent decided, application by application.

    Args:
        objects: Where applications are, and Events are told.
        mark: Called with the name of an application whose status has something new to tell.
    """

    def __init__(self, objects: Objects, mark: Callable[[str], None]) -> None:
        self._objects = objects
        self._mark = mark
        self._known: dict[str, deque[Mapping[str, Any]]] = {}
        #: Where earlier decisions are, once it is open.
        self.knowledge: KnowledgeStore | None = None
        #: Where Events are written, once there is one.
        self.tasks: asyncio.TaskGroup | None = None

    def take(self, decision: Mapping[str, Any]) -> None:
        """Take a decision of the loop."""
        name = str(decision["asset"]).removeprefix(ASSET)
        obj = self._objects.get(APP, name)
        if decision["verdict"] == "no-change" or obj is None:
            return
        _log.info(
            "decision %s: %s on %s: %s, %s",
            decision["id"],
            decision["policy"],
            decision["asset"],
            decision["verdict"],
            decision["scheduler"] or decision["message"] or "nothing done",
        )
        known = self.of(name)
        # The first look into the knowledge store may have found it there already.
        if decision["id"] not in {item["id"] for item in known} and not repeats(decision, known):
            known.appendleft(decision)
        self._mark(name)
        if decision["verdict"] == "no-plan" and decision["message"]:
            self._event(obj, "NoFit", str(decision["message"]))
        elif decision["outcome"] in _BAD_OUTCOMES:
            self._event(obj, _BAD_OUTCOMES[decision["outcome"]], str(decision["scheduler"] or decision["message"]))

    def of(self, name: str) -> deque[Mapping[str, Any]]:
        """Return the decisions about an application, the newest first."""
        if name not in self._known:
            known = self.knowledge.decisions(ASSET + name, limit=5 * MAX_DECISIONS) if self.knowledge else ()
            obj = self._objects.get(APP, name)
            since = str(obj["metadata"].get("creationTimestamp") or "") if obj is not None else ""
            self._known[name] = story(known, since=since, limit=MAX_DECISIONS)
        return self._known[name]

    def forget(self, name: str) -> None:
        """Drop those about an application that is gone."""
        self._known.pop(name, None)

    def _event(self, obj: Mapping[str, Any], reason: str, message: str) -> None:
        if self.tasks is not None:
            event = self._objects.event(obj, kind="Warning", reason=reason, message=message)
            self.tasks.create_task(event, name="event")
