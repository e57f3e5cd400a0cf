"""Infrastructure: nodes, clusters, continua and datacenters, registered, listed and unregistered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlsysops_core.errors import Conflict, InvalidInput, MlsError, NotFound
from mlsysops_core.model import Application, Description, description_name, from_resource, to_document, to_resource
from mlsysops_core.model.api import InfrastructureItem, InfrastructureList, RegisterResult

from mlsysops_northbound.services.views import CLUSTER_LABEL, agents_of, infrastructure_item
from mlsysops_northbound.store import Object, Store, resource_of

__all__ = ["INFRASTRUCTURE_KINDS", "Infrastructure", "kind_of_type"]

#: Kinds whose status tells of agents: without one, nobody is told any more how its agents are.
_TELLS_OF_AGENTS = ("MLSysOpsContinuum", "MLSysOpsCluster")
#: In the order in which lists show them.
INFRASTRUCTURE_KINDS = ("MLSysOpsContinuum", "MLSysOpsDatacenter", "MLSysOpsCluster", "MLSysOpsNode")


def kind_of_type(text: str) -> tuple[str, ...]:
    """Return the kinds that a ``type`` parameter names: ``Node``, ``MLSysOpsNode``, ``All`` …, in any letter case.

    Raises:
        InvalidInput: There is no such type.
    """
    name = text.strip().lower().removeprefix("mlsysops").removesuffix("s")
    if name in {"", "all"}:
        return INFRASTRUCTURE_KINDS
    for kind in INFRASTRUCTURE_KINDS:
        if kind.lower() == f"mlsysops{name}":
            return (kind,)
    raise InvalidInput(f"{text!r} is not a type of infrastructure", hint="Continuum, Datacenter, Cluster, Node or All")


class Infrastructure:
    """The infrastructure of a slice.

    Args:
        store: Where it is registered.
        namespace: Its namespace.
    """

    def __init__(self, store: Store, namespace: str) -> None:
        self._store = store
        self._namespace = namespace

    async def register(self, descriptions: Sequence[Description], *, dry_run: bool = False) -> list[RegisterResult]:
        """Create or update what is described; nothing is written unless all of it can be.

        Raises:
            InvalidInput: One of them describes an application.
        """
        for description in descriptions:
            if isinstance(description, Application):
                name = description_name(description)
                raise InvalidInput(f"{name!r} is an application, not infrastructure", hint="use `mls apps deploy-app`")
        if not dry_run and len(descriptions) > 1:
            for description in descriptions:
                await self._write(description, dry_run=True)
        return [await self._write(description, dry_run=dry_run) for description in descriptions]

    async def list(
        self, kinds: Sequence[str] = INFRASTRUCTURE_KINDS, *, name: str = "", limit: int = 0, continue_token: str = ""
    ) -> InfrastructureList:
        """Return a page of infrastructure, kind by kind."""
        items: list[InfrastructureItem] = []
        start, token = _resume(kinds, continue_token)
        for position in range(start, len(kinds)):
            resource = resource_of(kinds[position])
            if name:
                try:
                    items.append(infrastructure_item(await self._store.get(resource, name, self._namespace)))
                except NotFound:
                    continue
            else:
                room = limit - len(items) if limit else 0
                page = await self._store.list(resource, self._namespace, limit=room, continue_token=token)
                items += [infrastructure_item(item) for item in page.items]
                if page.continue_token:
                    return InfrastructureList(items=items, continue_=f"{kinds[position]}:{page.continue_token}")
                token = ""
                if limit and len(items) >= limit and position + 1 < len(kinds):
                    return InfrastructureList(items=items, continue_=f"{kinds[position + 1]}:")
        if name and not items:
            raise NotFound(f"{_names(kinds)} {name!r} does not exist", hint="`mls infra list` lists what is registered")
        return InfrastructureList(items=items)

    async def unregister(
        self,
        infra_id: str,
        *,
        kinds: Sequence[str] = INFRASTRUCTURE_KINDS,
        dry_run: bool = False,
        force: bool = False,
    ) -> Object:
        """Remove one piece of infrastructure by name or uid.

        Args:
            infra_id: Name or uid.
            kinds: Kinds that are meant.
            dry_run: Only ask whether it could be done.
            force: A cluster or continuum goes though its agents report to it.

        Returns:
            The object that was removed.

        Raises:
            NotFound: There is none of that name.
            Conflict: Several kinds have one of that name, or agents that are ready report to it.
        """
        found: list[Object] = []
        for kind in kinds:
            page = await self._store.list(resource_of(kind), self._namespace)
            found += [
                item for item in page.items if infra_id in {item["metadata"]["name"], item["metadata"].get("uid")}
            ]
        if not found:
            raise NotFound(
                f"{_names(kinds)} {infra_id!r} does not exist", hint="`mls infra list` lists what is registered"
            )
        if len(found) > 1:
            names = ", ".join(str(item["kind"]) for item in found)
            raise Conflict(f"{infra_id!r} names several things: {names}", hint="say which with --type (?type=)")
        if not force:
            _check_unused(found[0])
        metadata = found[0]["metadata"]
        resource = resource_of(found[0]["kind"])
        uid = str(metadata.get("uid", ""))
        await self._store.delete(resource, metadata["name"], self._namespace, uid=uid, dry_run=dry_run)
        return found[0]

    async def _write(self, description: Description, *, dry_run: bool) -> RegisterResult:
        wanted: dict[str, Any] = dict(to_resource(description, namespace=self._namespace))
        kind, name = str(wanted["kind"]), str(wanted["metadata"]["name"])
        resource = resource_of(kind)
        cluster = str((wanted.get("spec") or {}).get("cluster_id") or "")
        labels = dict(wanted["metadata"].get("labels") or {})
        if cluster:
            labels[CLUSTER_LABEL] = cluster
        try:
            present = await self._store.get(resource, name, self._namespace)
        except NotFound:
            labels = {"app.kubernetes.io/managed-by": "mlsysops", **labels}
            obj = {**wanted, "metadata": {**wanted["metadata"], "labels": labels}}
            await self._store.create(resource, obj, self._namespace, dry_run=dry_run)
            return RegisterResult(kind=kind, id=name, action="created", dry_run=dry_run)
        labels = {**(present["metadata"].get("labels") or {}), **labels}
        if _same(present, description) and labels == (present["metadata"].get("labels") or {}):
            return RegisterResult(kind=kind, id=name, action="unchanged", dry_run=dry_run)
        obj = {**present, "spec": wanted["spec"], "metadata": {**present["metadata"], "labels": labels}}
        await self._store.update(resource, obj, self._namespace, dry_run=dry_run)
        return RegisterResult(kind=kind, id=name, action="updated", dry_run=dry_run)


def _check_unused(obj: Object) -> None:
    """Refuse to unregister what agents that are ready report to: the slice would look dead until it is registered again.

    Raises:
        Conflict: There are such agents.
    """
    if obj["kind"] not in _TELLS_OF_AGENTS:
        return
    ready = [agent.name for agent in agents_of(obj.get("status") or {}) if agent.ready]
    if ready:
        shown = ", ".join(ready[:3]) + (f" and {len(ready) - 3} more" if len(ready) > 3 else "")
        raise Conflict(
            f"{_names([obj['kind']])} {obj['metadata']['name']!r} is in use: agents report to it ({shown})",
            hint="stop them first; --force, or ?force=true, unregisters it all the same, and they are not seen any more until "
            "`mls framework deploy-all` registers it again",
        )


def _same(present: Object, description: Description) -> bool:
    try:
        existing = from_resource(present)
    except MlsError:
        return False
    return bool(existing == description or to_document(existing) == to_document(description))


def _resume(kinds: Sequence[str], token: str) -> tuple[int, str]:
    if not token:
        return 0, ""
    kind, _, rest = token.partition(":")
    if kind not in kinds:
        raise InvalidInput("the continue token belongs to another list", hint="start again without it")
    return list(kinds).index(kind), rest


def _names(kinds: Sequence[str]) -> str:
    return kinds[0].removeprefix("MLSysOps").lower() if len(kinds) == 1 else "infrastructure"
