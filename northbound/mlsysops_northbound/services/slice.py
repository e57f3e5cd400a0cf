"""The slice as a whole: its agents and clusters, the mode of its policies, its targets."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal

from mlsysops_core.errors import Conflict, NotFound
from mlsysops_core.model.api import AgentInfo, ClusterInfo, Mode, Ping, SliceInfo, SystemTarget
from pydantic import TypeAdapter, ValidationError

from mlsysops_northbound.services.views import agents_of, condition
from mlsysops_northbound.store import CONFIG_MAPS, Object, Store, resource_of

__all__ = ["SETTINGS", "SliceService"]

_log = logging.getLogger(__name__)

#: ConfigMap with what people set for the whole slice; every agent watches it.
SETTINGS = "mlsysops-settings"
_TARGETS = TypeAdapter(list[SystemTarget])
_TIERS = {"continuum": 0, "cluster": 1, "node": 2}
_ATTEMPTS = 5


class SliceService:
    """The slice.

    Args:
        store: Where its objects live.
        name: Its name.
        version: Version of this software.
        namespace: Namespace of applications and infrastructure.
        framework_namespace: Namespace of our own parts.
    """

    def __init__(self, store: Store, *, name: str, version: str, namespace: str, framework_namespace: str) -> None:
        self._store = store
        self._name = name
        self._version = version
        self._namespace = namespace
        self._framework = framework_namespace

    async def info(self) -> SliceInfo:
        """Return agents, clusters, versions and settings."""
        version = await self._store.version()
        continua = await self._items("MLSysOpsContinuum")
        clusters = [_cluster(item) for item in await self._items("MLSysOpsCluster")]
        agents = _agents(continua, await self._items("MLSysOpsCluster"))
        settings = await self._settings()
        return SliceInfo(
            name=self._name,
            version=self._version,
            kubernetes_version=version,
            mode=_mode(settings),
            system_targets=_targets(settings),
            ready=bool(agents) and all(agent.ready for agent in agents) and all(item.ready for item in clusters),
            agents=agents,
            clusters=clusters,
            applications=len(await self._items("MLSysOpsApp")),
        )

    async def ping(self) -> Ping:
        """Return whether every agent is alive."""
        agents = _agents(await self._items("MLSysOpsContinuum"), await self._items("MLSysOpsCluster"))
        return Ping(ready=bool(agents) and all(agent.ready for agent in agents), agents=agents)

    async def probe(self) -> None:
        """Return when the continuum's API answers; `Unreachable` where it does not."""
        await self._store.version()

    async def mode(self) -> Mode:
        """Return whether policies decide by heuristics or by machine learning."""
        return _mode(await self._settings())

    async def set_mode(self, mode: Literal[0, 1]) -> Mode:
        """Set the mode for the whole slice."""
        return _mode(await self._change("mode", lambda _: str(mode)))

    async def targets(self) -> list[SystemTarget]:
        """Return the targets of the whole slice."""
        return _targets(await self._settings())

    async def set_target(self, target: SystemTarget) -> list[SystemTarget]:
        """Set a target of the whole slice; one for the same metric is replaced."""
        return await self._change_targets(lambda others: [*others, target], target.metric)

    async def remove_target(self, metric: str) -> list[SystemTarget]:
        """Take a target of the whole slice back.

        Raises:
            NotFound: There is none for this metric.
        """
        known = [item.metric for item in await self.targets()]
        if metric not in known:
            raise NotFound(f"the slice has no target for {metric!r}", hint=f"targets: {', '.join(known) or 'none'}")
        return await self._change_targets(lambda others: others, metric)

    async def _change_targets(
        self, change: Callable[[list[SystemTarget]], list[SystemTarget]], metric: str
    ) -> list[SystemTarget]:
        """Write the targets of all metrics but one as they are, and what is made of them."""

        def changed(present: Mapping[str, str]) -> str:
            others = [item for item in _targets(present) if item.metric != metric]
            wanted = sorted(change(others), key=lambda item: item.metric)
            return _TARGETS.dump_json(wanted, by_alias=True).decode()

        return _targets(await self._change("system-targets", changed))

    async def _items(self, kind: str) -> list[Object]:
        return (await self._store.list(resource_of(kind), self._namespace)).items

    async def _settings(self) -> Mapping[str, str]:
        try:
            return (await self._store.get(CONFIG_MAPS, SETTINGS, self._framework)).get("data") or {}
        except NotFound:
            return {}

    async def _change(self, key: str, make: Callable[[Mapping[str, str]], str]) -> Mapping[str, str]:
        """Write one setting, made of the present ones, and try again where somebody else wrote meanwhile."""
        for attempt in range(_ATTEMPTS):
            try:
                return await self._change_once(key, make)
            except Conflict:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError  # the loop returns or raises

    async def _change_once(self, key: str, make: Callable[[Mapping[str, str]], str]) -> Mapping[str, str]:
        try:
            present = await self._store.get(CONFIG_MAPS, SETTINGS, self._framework)
        except NotFound:
            labels = {"app.kubernetes.io/managed-by": "mlsysops", "app.kubernetes.io/part-of": "mlsysops"}
            obj: dict[str, Any] = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": SETTINGS, "namespace": self._framework, "labels": labels},
                "data": {key: make({})},
            }
            written = await self._store.create(CONFIG_MAPS, obj, self._framework)
        else:
            before = present.get("data") or {}
            data = {**before, key: make(before)}
            written = await self._store.update(CONFIG_MAPS, {**present, "data": data}, self._framework)
        return written.get("data") or {}


def _agents(continua: list[Object], clusters: list[Object]) -> list[AgentInfo]:
    """Return every agent once: what the continuum's status says, and what only a cluster's says."""
    found: dict[tuple[str, str], AgentInfo] = {}
    for item in (*clusters, *continua):
        for agent in agents_of(item.get("status") or {}):
            key = (agent.tier, agent.name)
            if key not in found or agent.last_seen >= found[key].last_seen:
                found[key] = agent
    return sorted(found.values(), key=lambda agent: (_TIERS.get(agent.tier, 9), agent.name))


def _cluster(obj: Object) -> ClusterInfo:
    status = obj.get("status") or {}
    ready = condition(status.get("conditions"), "Ready")
    nodes = status.get("nodes") if isinstance(status.get("nodes"), Mapping) else {}
    return ClusterInfo(
        name=obj["metadata"]["name"],
        ready=ready.get("status") == "True",
        nodes_ready=int((nodes or {}).get("ready") or 0),
        nodes_total=int((nodes or {}).get("total") or 0),
        message="" if ready.get("status") == "True" else str(ready.get("message") or "not seen yet"),
    )


def _mode(settings: Mapping[str, str]) -> Mode:
    return Mode(mode=1, name="ml") if settings.get("mode") == "1" else Mode(mode=0, name="heuristic")


def _targets(settings: Mapping[str, str]) -> list[SystemTarget]:
    try:
        return _TARGETS.validate_python(json.loads(settings.get("system-targets") or "[]"))
    except (ValueError, ValidationError):
        _log.warning("ConfigMap %s: system-targets is not understood, ignored", SETTINGS)
        return []
