"""Tells the clusters of an application where its components in other clusters are: by an annotation that travels with it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from mlsysops_core.contracts import Clock, Objects
from mlsysops_core.errors import MlsError, NotFound
from mlsysops_core.model import Application

__all__ = ["ENDPOINTS", "EndpointsWriter", "endpoints_text"]

_log = logging.getLogger(__name__)

ENDPOINTS = "mlsysops.eu/component-endpoints"
_MANAGER = "mlsysops-endpoints"
_AGAIN_SECONDS = 5.0


def endpoints_text(application: Application, components: Sequence[Mapping[str, Any]]) -> str | None:
    """Return what the annotation should be; None for an application that is whole in one cluster.

    Args:
        application: The application.
        components: Its components' statuses, with cluster and, where they are ready, address.
    """
    said = {str(item["name"]): item for item in components}
    if len({item["cluster"] for item in components if item.get("cluster")}) < 2:
        return None
    found = {
        component.name: {
            key: said[component.name][key] for key in ("cluster", "address") if said[component.name].get(key)
        }
        for component in application.components
        if component.name in said and any(container.ports for container in component.containers)
    }
    return json.dumps(found, sort_keys=True) if found else None


class EndpointsWriter:
    """Writes annotations, the newest wish of each application, again where that fails.

    Args:
        kind: Kind of the objects.
        objects: The objects.
        clock: Time.
    """

    def __init__(self, kind: str, objects: Objects, clock: Clock) -> None:
        self._kind = kind
        self._objects = objects
        self._clock = clock
        self._wanted: dict[str, str | None] = {}
        self._changed = asyncio.Event()

    def offer(self, obj: Mapping[str, Any], text: str | None) -> None:
        """Have an object's annotation be this, or not be where None."""
        name = str(obj["metadata"]["name"])
        if (obj["metadata"].get("annotations") or {}).get(ENDPOINTS) == text:
            self._wanted.pop(name, None)
            return
        self._wanted[name] = text
        self._changed.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            for name, text in sorted(self._wanted.items()):
                if not await self._write(name, text):
                    self._changed.set()
                elif self._wanted.get(name, "") == text:
                    self._wanted.pop(name, None)
            if self._changed.is_set():
                await self._clock.sleep(_AGAIN_SECONDS)

    async def _write(self, name: str, text: str | None) -> bool:
        """Write one; says whether it is done with."""
        try:
            await self._objects.annotate(self._kind, name, {ENDPOINTS: text}, field_manager=_MANAGER)
        except NotFound:
            return True
        except MlsError as exc:
            _log.warning("cannot say where the components of %s are: %s", name, exc)
            return False
        return True
