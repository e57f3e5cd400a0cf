"""Changes of CPU and memory alone, made in the pods that run: nothing restarts, and what comes later has them too.

A Deployment whose template changes makes new pods. So that it does not, the ReplicaSet in force gets the new template as well, while
the Deployment is paused: when it goes on, its template is that of a ReplicaSet it has, and there is nothing to roll out. A
pod that is recreated has the new amounts, since its ReplicaSet has them. The order is such that whatever stops half way
(`RESIZING` is left on the Deployment then) is finished by writing it again:

1. the pods are resized (the API server and the node may refuse, and then nothing else has been touched);
2. the Deployment gets its template, paused; 3. the ReplicaSet gets it; 4. the Deployment goes on.

Where any of this is not possible, the Deployment is written as it is, and rolls out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from mlsysops_core.contracts import Object, PluginHandle
from mlsysops_core.errors import InvalidInput, NotFound, Refused
from mlsysops_core.quantities import parse_bytes, parse_cpu

from .workloads import LABEL_APPLICATION

__all__ = ["RESIZING", "InPlace"]

#: On a Deployment between its first and its last write.
RESIZING = "mlsysops.eu/resizing"
_HASH_LABEL = "pod-template-hash"
_PARSE: Mapping[str, Callable[[str], float]] = {"cpu": parse_cpu, "memory": parse_bytes}
_KINDS = ("requests", "limits")
#: Seconds that a kubelet and the controllers get to answer, and between looks at what they say.
_ANSWER_SECONDS, _LOOK_SECONDS = 10.0, 0.05

Resources = dict[str, dict[str, Any]]
T = TypeVar("T")


class InPlace:
    """Writes Deployments.

    Args:
        handle: The plug-in's handle.
        field_manager: Who writes.
    """

    def __init__(self, handle: PluginHandle, field_manager: str) -> None:
        self._handle = handle
        self._manager = field_manager
        #: Names of the Deployments that are being written.
        self.busy: set[str] = set()

    async def write(self, deployment: Mapping[str, Any]) -> str:
        """Write a Deployment; return how its pods changed, in place or why not; empty where that was no question."""
        name = str(deployment["metadata"]["name"])
        serving = self._serving(name)
        changed = _amounts_alone(serving["spec"]["template"], deployment["spec"]["template"]) if serving else {}
        if serving is None or not changed:
            await self._apply(deployment)
            return ""
        self.busy.add(name)
        try:
            return await self._write(deployment, serving, changed)
        finally:
            self.busy.discard(name)

    async def _write(self, deployment: Mapping[str, Any], serving: Object, changed: Resources) -> str:
        pods = [pod for pod in self._owned("Pod", deployment, serving) if _lives(pod)]
        refused, told = await self._resize(pods, changed)
        if refused:
            await self._apply(deployment)
            return f"changed by new pods, as it could not be in place ({refused})"
        metadata = deployment["metadata"]
        annotations = {**(metadata.get("annotations") or {}), RESIZING: "true"}
        paused = {
            **deployment,
            "metadata": {**metadata, "annotations": annotations},
            "spec": {**deployment["spec"], "paused": True},
        }
        template = (await self._apply(paused))["spec"]["template"]
        if _bare(template) == _bare(serving["spec"]["template"]):
            await self._follow(serving, changed)
        else:
            # Somebody changed more than amounts: what is not in the pods yet comes with new ones.
            told = ""
        await self._apply(deployment)
        return told

    async def _apply(self, obj: Mapping[str, Any]) -> Object:
        return await self._handle.objects.apply(obj, field_manager=self._manager)

    # -- what there is -----------------------------------------------------------------------------------------

    def _serving(self, name: str) -> Object | None:
        """Return the ReplicaSet that has all the pods of a Deployment; None while it rolls out, or is not there."""
        live = self._handle.objects.get("Deployment", name)
        if live is None:
            return None
        active = [rs for rs in self._owned("ReplicaSet", live, live) if rs["spec"].get("replicas", 1)]
        return active[0] if len(active) == 1 else None

    def _owned(self, kind: str, labelled: Mapping[str, Any], owner: Object) -> list[Object]:
        application = labelled["metadata"]["labels"][LABEL_APPLICATION]
        return [
            obj
            for obj in self._handle.objects.labelled(kind, LABEL_APPLICATION, application)
            if any(ref.get("uid") == owner["metadata"]["uid"] for ref in obj["metadata"].get("ownerReferences") or ())
        ]

    # -- pods --------------------------------------------------------------------------------------------------

    async def _resize(self, pods: Sequence[Object], changed: Resources) -> tuple[str, str]:
        """Resize pods; return why that cannot be (then nothing has changed), or else how it went."""
        done: list[Object] = []
        told = "resized in place"
        for pod in pods:
            try:
                done.append(await self._ask(pod, changed))
            except (NotFound, Refused, InvalidInput) as exc:
                await self._take_back(pods, done)
                return str(exc), ""
        for pod in done:
            reason, message = await self._answer(pod, changed)
            if reason == "Infeasible":
                await self._take_back(pods, done)
                return message, ""
            if reason:
                told = f"resized as soon as its node has room ({message})"
        return "", told

    async def _ask(self, pod: Object, resources: Mapping[str, Mapping[str, Any]]) -> Object:
        return await self._handle.objects.resize(pod["metadata"]["name"], resources, field_manager=self._manager)

    async def _take_back(self, before: Sequence[Object], resized: Sequence[Object]) -> None:
        """Ask pods for no more than they have, so that they hold no room while others take their place."""
        for pod in before[: len(resized)]:
            former = {c["name"]: c.get("resources") or {} for c in pod["spec"]["containers"]}
            try:
                await self._ask(pod, former)
            except (NotFound, Refused, InvalidInput) as exc:
                # Amounts that were not there before cannot be taken away; the pod is replaced anyhow.
                self._handle.explain(message=f"pod {pod['metadata']['name']} goes on asking for more: {exc}")

    async def _answer(self, asked: Object, changed: Resources) -> tuple[str, str]:
        """Wait for what the kubelet says of a resize: why it is put off or refused; empty where it is granted."""
        name = asked["metadata"]["name"]
        generation = int(asked["metadata"].get("generation") or 0)

        def verdict() -> tuple[str, str] | None:
            pod = self._handle.objects.get("Pod", name)
            if pod is None or not pod["spec"].get("nodeName"):
                return "", ""
            status = pod.get("status") or {}
            for condition in status.get("conditions") or ():
                newest = int(condition.get("observedGeneration") or generation) >= generation
                if condition.get("type") == "PodResizePending" and newest:
                    return str(condition.get("reason")), str(condition.get("message"))
            statuses = {item["name"]: item for item in status.get("containerStatuses") or ()}
            if "observedGeneration" in status:
                promised = {n: _amounts({"requests": s.get("allocatedResources")}) for n, s in statuses.items()}
                seen = int(status["observedGeneration"]) >= generation
            else:  # a kubelet before 1.34 does not say what it has seen: what containers have in fact is taken for its answer
                promised = {n: _amounts(s.get("resources") or {}) for n, s in statuses.items()}
                seen = all(
                    _limits(statuses.get(name, {}).get("resources")) == _limits(r) for name, r in changed.items()
                )
            if seen and all(_same(promised.get(name, {}), _amounts(r)) for name, r in changed.items()):
                return "", ""
            return None

        found = await self._until(verdict)
        return found if found is not None else ("Unanswered", "its kubelet has not answered yet")

    # -- the ReplicaSet ----------------------------------------------------------------------------------------

    async def _follow(self, serving: Object, changed: Resources) -> None:
        """Give the ReplicaSet the amounts, and wait until the controllers have seen that: one cache serves all of them."""
        containers = [{"name": name, "resources": resources} for name, resources in changed.items()]
        metadata = {key: serving["metadata"][key] for key in ("name", "namespace")}
        written = await self._apply(
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "metadata": metadata,
                "spec": {"template": {"spec": {"containers": containers}}},
            }
        )
        generation = int(written["metadata"].get("generation") or 0)

        def seen() -> bool | None:
            found = self._handle.objects.get("ReplicaSet", metadata["name"])
            status = (found or {}).get("status") or {}
            return found is None or int(status.get("observedGeneration") or 0) >= generation or None

        await self._until(seen)

    async def _until(self, check: Callable[[], T | None]) -> T | None:
        clock = self._handle.clock
        end = clock.monotonic() + _ANSWER_SECONDS
        while (found := check()) is None and clock.monotonic() < end:
            await clock.sleep(_LOOK_SECONDS)
        return found


def _amounts_alone(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> Resources:
    """Return the resources of the containers, where CPU and memory of some are all that differs, and none is taken away."""
    before, after = live["spec"], wanted["spec"]
    if not _within({k: v for k, v in after.items() if k != "containers"}, before):
        return {}
    if not _within(wanted["metadata"]["labels"], live["metadata"]["labels"]):
        return {}
    if [c["name"] for c in before["containers"]] != [c["name"] for c in after["containers"]]:
        return {}
    changed = False
    for old, new in zip(before["containers"], after["containers"], strict=True):
        if not _within({k: v for k, v in new.items() if k != "resources"}, old):
            return {}
        for kind in _KINDS:
            had, has = ((c.get("resources") or {}).get(kind) or {} for c in (old, new))
            if had.keys() - has.keys() or any(has[name] != had.get(name) for name in has.keys() - _PARSE.keys()):
                return {}
            changed = changed or not _same(
                {k: v for k, v in had.items() if k in _PARSE}, {k: v for k, v in has.items() if k in _PARSE}
            )
    return {c["name"]: c.get("resources") or {} for c in after["containers"]} if changed else {}


def _amounts(resources: Mapping[str, Any]) -> dict[str, str]:
    """Return the requests of CPU and memory; where there is only a limit, that is the request."""
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: value for name, value in asked.items() if name in _PARSE}


def _limits(resources: Mapping[str, Any] | None) -> dict[str, float]:
    limits = (resources or {}).get("limits") or {}
    return {name: parse(limits[name]) for name, parse in _PARSE.items() if name in limits}


def _lives(pod: Object) -> bool:
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not ended and not pod["metadata"].get("deletionTimestamp")


def _same(left: Mapping[str, str], right: Mapping[str, str]) -> bool:
    """Compare amounts, however they are written."""
    return left.keys() == right.keys() and all(_PARSE[k](left[k]) == _PARSE[k](right[k]) for k in left)


def _within(wanted: Any, live: Any) -> bool:
    """Say whether all that is asked for is there; the API server adds defaults, and leaves out what is empty."""
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(_within(item, live.get(key)) for key, item in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(live, list)
            and len(wanted) == len(live)
            and all(_within(item, other) for item, other in zip(wanted, live, strict=True))
        )
    return bool(wanted == live or (wanted in ("", False) and live is None))


def _bare(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return a template without CPU and memory, and without what its ReplicaSet adds."""
    bare = copy.deepcopy(dict(template))
    metadata = bare.get("metadata") or {}
    (metadata.get("labels") or {}).pop(_HASH_LABEL, None)
    bare["metadata"] = {key: value for key, value in metadata.items() if value}
    for container in bare["spec"]["containers"]:
        for kind in _KINDS:
            amounts = (container.get("resources") or {}).get(kind) or {}
            container[kind] = {name: value for name, value in amounts.items() if name not in _PARSE}
        container.pop("resources", None)
    return bare
