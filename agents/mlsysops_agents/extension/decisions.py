"""The decisions of an agent's loop: kept for statuses, written to the log, and told as Events where they matter."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mlsysops_core.contracts import KnowledgeStore, Objects
from mlsysops_core.model.status import MAX_DECISIONS

from mlsysops_agents.loop.record import IN_STATUS
from mlsysops_agents.loop.sizes import shortened
from mlsysops_agents.loop.story import repeats, story

__all__ = ["Decisions"]

_log = logging.getLogger(__name__)

#: Outcomes of plans that are worth an Event, and its reason.
_BAD_OUTCOMES = {"failed": "PlanFailed", "rolled-back": "PlanRolledBack", "held": "Oscillation"}


class Decisions:
    """What an agent decided, asset by asset.

    Args:
        objects: Where Events are told.
        about: Returns the object that an asset stands for, and that Events are about; None where it is gone.
        mark: Called with an asset of which there is something new to tell.
    """

    def __init__(
        self,
        objects: Objects,
        about: Callable[[str], Mapping[str, Any] | None],
        mark: Callable[[str], None],
    ) -> None:
        self._objects = objects
        self._about = about
        self._mark = mark
        self._known: dict[str, deque[Mapping[str, Any]]] = {}
        #: Where earlier decisions are, once it is open.
        self.knowledge: KnowledgeStore | None = None
        #: Where Events are written, once there is one.
        self.tasks: asyncio.TaskGroup | None = None

    def take(self, decision: Mapping[str, Any]) -> None:
        """Take a decision of the loop."""
        asset = str(decision["asset"])
        if decision["verdict"] == "no-change":
            return
        _log.info(
            "decision %s: %s on %s: %s, %s",
            decision["id"],
            decision["policy"],
            asset,
            decision["verdict"],
            decision["scheduler"] or decision["message"] or "nothing done",
        )
        obj = self._about(asset)
        if obj is None:
            return
        # As statuses have them: twenty of each asset in full, as large as a policy may make them, would be all of the memory.
        large = [key for key in ("inputs", "plan") if key in decision]
        decision = {**decision, **{key: shortened(decision[key], IN_STATUS) for key in large}}
        known = self.of(asset)
        # The first look into the knowledge store may have found it there already.
        if decision["id"] not in {item["id"] for item in known} and not repeats(decision, known):
            known.appendleft(decision)
        self._mark(asset)
        if decision["verdict"] == "no-plan" and decision["message"]:
            self._event(obj, "NoFit", str(decision["message"]))
        elif decision["outcome"] in _BAD_OUTCOMES:
            self._event(obj, _BAD_OUTCOMES[decision["outcome"]], str(decision["scheduler"] or decision["message"]))

    def of(self, asset: str) -> deque[Mapping[str, Any]]:
        """Return the decisions about an asset, the newest first."""
        if asset not in self._known:
            known = self.knowledge.decisions(asset, limit=5 * MAX_DECISIONS) if self.knowledge else ()
            obj = self._about(asset)
            since = str(obj["metadata"].get("creationTimestamp") or "") if obj is not None else ""
            self._known[asset] = story(known, since=since, limit=MAX_DECISIONS)
        return self._known[asset]

    def newest(self, assets: Iterable[str]) -> list[Mapping[str, Any]]:
        """Return the newest decisions about some assets together, the newest first, as many as a status keeps."""
        together = [decision for asset in assets for decision in self.of(asset)]
        return sorted(together, key=lambda item: str(item["time"]), reverse=True)[:MAX_DECISIONS]

    def forget(self, asset: str) -> None:
        """Drop those about an asset that is gone."""
        self._known.pop(asset, None)

    def _event(self, obj: Mapping[str, Any], reason: str, message: str) -> None:
        if self.tasks is not None:
            event = self._objects.event(obj, kind="Warning", reason=reason, message=message)
            self.tasks.create_task(event, name="event")
