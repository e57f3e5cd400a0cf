"""Applications: deploy, list, look at, explain, remove."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from mlsysops_core.errors import Conflict, InvalidInput, MlsError, NotFound
from mlsysops_core.model import Application, from_resource, to_document, to_resource
from mlsysops_core.model.api import (
    ApplicationDecisions,
    ApplicationDetails,
    ApplicationList,
    ApplicationPerformance,
    ApplicationState,
    ApplicationSummary,
    DeployResult,
    RemoveResult,
)
from mlsysops_core.plugins import PluginError, parse_interval

from mlsysops_northbound.services.views import (
    SOURCE_ANNOTATION,
    TERMINATING,
    application_details,
    application_state,
    application_status,
    application_summary,
)
from mlsysops_northbound.store import RESOURCE_BINDINGS, Object, Store, resource_of

__all__ = ["MAX_SOURCE", "Applications"]

#: Longest description text kept beside the object, bytes; an object's annotations may hold 256 KiB in all.
MAX_SOURCE = 32 * 1024

_APPS = resource_of("MLSysOpsApp")
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


class Applications:
    """The applications of a slice.

    Args:
        store: Where they live.
        namespace: Their namespace.
    """

    def __init__(self, store: Store, namespace: str) -> None:
        self._store = store
        self._namespace = namespace

    async def list(self, *, limit: int = 0, continue_token: str = "") -> ApplicationList:
        """Return a page of applications; those still being removed come with the last page."""
        page = await self._store.list(_APPS, self._namespace, limit=limit, continue_token=continue_token)
        items = [application_summary(item) for item in page.items]
        if not page.continue_token:
            items += await self._leaving()
        return ApplicationList(items=items, continue_=page.continue_token)

    async def state(self, app_id: str) -> ApplicationState:
        """Return how an application is doing; also while it is being removed."""
        try:
            return application_state(await self._find(app_id))
        except NotFound:
            if await self._binding(app_id) is None:
                raise
            return ApplicationState(id=app_id, phase=TERMINATING, message="waiting for its clusters to let go of it")

    async def details(self, app_id: str) -> ApplicationDetails:
        """Return everything known of an application."""
        try:
            return application_details(await self._find(app_id))
        except NotFound:
            state = await self.state(app_id)
            return ApplicationDetails(**state.model_dump())

    async def performance(self, app_id: str) -> ApplicationPerformance:
        """Return an application's targets and whether they hold."""
        obj = await self._find(app_id)
        status = application_status(obj)
        return ApplicationPerformance(
            id=obj["metadata"]["name"],
            phase=application_summary(obj).phase,
            items=status.performance,
            satisfaction=status.satisfaction,
        )

    async def decisions(
        self, app_id: str, *, limit: int = 0, decision: str = "", since: str = ""
    ) -> ApplicationDecisions:
        """Return what the agents decided about an application, newest first.

        Args:
            app_id: Name or uid of the application.
            limit: Most decisions; 0 for all.
            decision: Only the decision of this number (1 is the newest), of this id, or whose id begins like that.
            since: Only decisions since then: RFC 3339, or a duration before now such as ``10m``.

        Raises:
            NotFound: There is no such application, or no such decision.
            InvalidInput: `since` is no time.
        """
        obj = await self._find(app_id)
        summary, status = application_summary(obj), application_status(obj)
        items = list(status.decisions)
        if decision:
            numbered = decision.isdecimal() and len(decision) <= 2
            items = [
                item
                for number, item in enumerate(items, 1)
                if (number == int(decision) if numbered else item.id.startswith(decision))
            ]
            if not items:
                raise NotFound(
                    f"application {summary.id!r} has no decision {decision!r}", hint="the newest 20 are kept here"
                )
        if since:
            moment = _moment(since)
            items = [item for item in items if not item.time or _moment(item.time) >= moment]
        items = items[:limit] if limit else items
        return ApplicationDecisions(id=summary.id, phase=summary.phase, message=summary.message, items=items)

    async def source(self, app_id: str) -> tuple[str, str]:
        """Return the text the description was deployed from (empty where none was kept) and the resourceVersion."""
        metadata = (await self._find(app_id))["metadata"]
        return str((metadata.get("annotations") or {}).get(SOURCE_ANNOTATION, "")), str(metadata["resourceVersion"])

    async def deploy(
        self, description: Application, *, source: str = "", dry_run: bool = False, force: bool = False
    ) -> DeployResult:
        """Create an application; one that exists with the same description is left alone.

        Raises:
            Conflict: One of that name exists with another description, and `force` is not set; or it is being removed.
        """
        wanted = self._resource(description, source)
        name = wanted["metadata"]["name"]
        try:
            present = await self._find(name)
        except NotFound:
            if await self._binding(name) is not None:
                raise _leaving(name) from None
            await self._refuse_taken_names(description, name)
            created = await self._store.create(_APPS, wanted, self._namespace, dry_run=dry_run)
            return _result(created, "created", dry_run=dry_run)
        if not force and not _same(present, description):
            raise Conflict(
                f"application {name!r} exists with another description",
                hint="`mls apps diff` shows what differs; --force (PUT, or ?force=true) replaces it",
            )
        return await self._replace(present, description, wanted, dry_run=dry_run)

    async def update(
        self, app_id: str, description: Application, *, source: str = "", if_match: str = "", dry_run: bool = False
    ) -> DeployResult:
        """Replace the description of an application that exists.

        Raises:
            NotFound: There is no such application.
            Conflict: It is not at the version `if_match` names any more, or is being removed.
            InvalidInput: The description is that of another application.
        """
        present = await self._find(app_id)
        wanted = self._resource(description, source)
        metadata = present["metadata"]
        if wanted["metadata"]["name"] != metadata["name"]:
            raise InvalidInput(
                f"the description is that of application {wanted['metadata']['name']!r}, not of {metadata['name']!r}",
                hint="a name cannot change: remove the application and deploy the new one",
            )
        if if_match not in {"", "*", str(metadata.get("resourceVersion", ""))}:
            raise Conflict(f"application {metadata['name']!r} was changed meanwhile", hint="get it again and repeat")
        return await self._replace(present, description, wanted, dry_run=dry_run)

    async def remove(self, app_id: str, *, dry_run: bool = False) -> RemoveResult:
        """Start the removal of an application; it is gone when `state` raises `NotFound`."""
        try:
            obj = await self._find(app_id)
        except NotFound:
            if await self._binding(app_id) is None:
                raise
            return RemoveResult(id=app_id, dry_run=dry_run, message="is being removed already")
        metadata = obj["metadata"]
        await self._store.delete(
            _APPS, metadata["name"], self._namespace, uid=str(metadata.get("uid", "")), dry_run=dry_run
        )
        return RemoveResult(id=metadata["name"], dry_run=dry_run, message="removal started")

    async def _replace(
        self, present: Object, description: Application, wanted: Object, *, dry_run: bool
    ) -> DeployResult:
        metadata = present["metadata"]
        if metadata.get("deletionTimestamp"):
            raise _leaving(metadata["name"])
        if _same(present, description):
            return _result(present, "unchanged", dry_run=dry_run)
        await self._refuse_taken_names(description, metadata["name"])
        annotations = {**(metadata.get("annotations") or {}), **(wanted["metadata"].get("annotations") or {})}
        if SOURCE_ANNOTATION not in (wanted["metadata"].get("annotations") or {}):
            annotations.pop(SOURCE_ANNOTATION, None)
        labels = {**(metadata.get("labels") or {}), **(wanted["metadata"].get("labels") or {})}
        obj = {
            **present,
            "spec": wanted["spec"],
            "metadata": {**metadata, "annotations": annotations, "labels": labels},
        }
        written = await self._store.update(_APPS, obj, self._namespace, dry_run=dry_run)
        return _result(written, "updated", dry_run=dry_run)

    async def _refuse_taken_names(self, description: Application, name: str) -> None:
        """Refuse a component with ports whose name, which is its Service's, another application has taken.

        Raises:
            Conflict: One has; the cluster agent would otherwise find out when it writes the Service.
        """
        wanted = {component.name for component in description.components if any(c.ports for c in component.containers)}
        for other in (await self._store.list(_APPS, self._namespace)).items if wanted else ():
            if other["metadata"]["name"] == name:
                continue
            for component in (other.get("spec") or {}).get("components") or ():
                taken = (component.get("metadata") or {}).get("name")
                if taken in wanted and any(container.get("ports") for container in component.get("containers") or ()):
                    raise Conflict(
                        f"component {taken!r} has the name of a component of application {other['metadata']['name']!r}",
                        hint="components with ports are reached by their names: give it another",
                    )

    def _resource(self, description: Application, source: str) -> Object:
        resource = dict(to_resource(description, namespace=self._namespace))
        metadata = dict(resource["metadata"])
        metadata["labels"] = {**(metadata.get("labels") or {}), "app.kubernetes.io/managed-by": "mlsysops"}
        if source and len(source.encode()) <= MAX_SOURCE:
            metadata["annotations"] = {**(metadata.get("annotations") or {}), SOURCE_ANNOTATION: source}
        return {**resource, "metadata": metadata}

    async def _find(self, app_id: str) -> Object:
        missing = NotFound(f"application {app_id!r} does not exist", hint="`mls apps list-all` lists those that do")
        if not _NAME.fullmatch(app_id):
            raise missing
        try:
            return await self._store.get(_APPS, app_id, self._namespace)
        except NotFound as exc:
            if _UID.fullmatch(app_id):
                for item in (await self._store.list(_APPS, self._namespace)).items:
                    if item["metadata"].get("uid") == app_id:
                        return item
            raise missing from exc

    async def _binding(self, name: str) -> Object | None:
        """Return the ResourceBinding that still carries an application, named as Karmada names it."""
        if not _NAME.fullmatch(name):
            return None
        try:
            return await self._store.get(RESOURCE_BINDINGS, f"{name}-mlsysopsapp", self._namespace)
        except NotFound:
            return None

    async def _leaving(self) -> Sequence[ApplicationSummary]:
        """Return the applications whose object is gone while a cluster still has them."""
        try:
            bindings = (await self._store.list(RESOURCE_BINDINGS, self._namespace)).items
        except NotFound:  # an API server without Karmada's kinds
            return []
        names = [
            str(reference.get("name"))
            for binding in bindings
            if (reference := (binding.get("spec") or {}).get("resource") or {}).get("kind") == "MLSysOpsApp"
        ]
        if not names:
            return []
        present = {item["metadata"]["name"] for item in (await self._store.list(_APPS, self._namespace)).items}
        return [
            ApplicationSummary(id=name, phase=TERMINATING, message="waiting for its clusters to let go of it")
            for name in sorted(set(names) - present)
        ]


def _moment(text: str) -> datetime:
    """Understand a time: RFC 3339, or how long ago it was."""
    try:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except ValueError:
        pass
    try:
        return datetime.now(UTC) - timedelta(seconds=parse_interval(text))
    except (PluginError, OverflowError) as exc:
        raise InvalidInput(f"{text!r} is no time", hint="2026-11-21T10:00:00Z, or a duration such as 10m") from exc


def _leaving(name: str) -> Conflict:
    return Conflict(f"application {name!r} is still being removed", hint="wait until it is gone, then deploy again")


def _result(
    obj: Mapping[str, Any], action: Literal["created", "updated", "unchanged"], *, dry_run: bool
) -> DeployResult:
    metadata = obj["metadata"]
    return DeployResult(
        id=metadata["name"],
        uid=str(metadata.get("uid", "")),
        action=action,
        dry_run=dry_run,
        phase=application_summary(obj).phase,
        generation=int(metadata.get("generation", 0)),
    )


def _same(present: Mapping[str, Any], description: Application) -> bool:
    """Tell whether an object has this description, defaults filled in on both sides."""
    try:
        existing = from_resource(present)
    except MlsError:  # written by hand, by another version: it differs from anything that validates
        return False
    return bool(existing == description or to_document(existing) == to_document(description))
