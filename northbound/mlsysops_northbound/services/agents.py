"""What is sent to running agents: policies and settings, with their versions; and what the agents say of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from mlsysops_core.errors import Conflict, Fault, InvalidInput, NotFound, Refused
from mlsysops_core.model.agents import (
    FOR_AGENTS,
    KEEP_REVISIONS,
    MAX_POLICY_BYTES,
    POLICY,
    AgentSettings,
    Revision,
    SentToAgents,
    Target,
    digest_of,
    object_name,
    own_labels,
)
from mlsysops_core.model.api import AgentPolicy, AgentsRequest, SentItem, SentList, SentRevision
from mlsysops_core.yaml import load_yaml

from mlsysops_northbound.services.slice import SETTINGS
from mlsysops_northbound.store import CONFIG_MAPS, Object, Store, resource_of

__all__ = ["Agents"]

Kind = Literal["policy", "config"]
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,62}[A-Za-z0-9])?")
_KINDS = {"MLSysOpsContinuum": "continuum", "MLSysOpsCluster": "cluster", "MLSysOpsNode": "node"}
_ATTEMPTS = 5


class Agents:
    """Policies and settings of running agents.

    Args:
        store: Where objects live.
        namespace: Namespace of the infrastructure, whose statuses tell what agents run.
        framework_namespace: Namespace of what is sent.
    """

    def __init__(self, store: Store, *, namespace: str, framework_namespace: str) -> None:
        self._store = store
        self._namespace = namespace
        self._framework = framework_namespace

    async def find(self, kind: Kind, *, target: str = "") -> SentList:
        """Return what was sent and, for policies, what every agent says of those it has.

        Args:
            kind: What to list.
            target: Only what was sent to exactly this target, and agents that this tier or agent names; all where empty.
        """
        items = [_item(sent) for sent in await self._sent(kind) if target in ("", "all", sent.target)]
        if kind != POLICY:
            return SentList(items=items)
        return SentList(items=items, agents=await self._policies(Target.parse(target) if target else None))

    async def put(self, kind: Kind, name: str, request: AgentsRequest, *, dry_run: bool = False) -> SentItem:
        """Send a new version, or bring back an earlier one; the same text again changes nothing.

        Raises:
            InvalidInput: Name, target, or text do not validate.
            Refused: The slice does not allow this policy's digest.
            NotFound: There is no such revision.
        """
        _check_name(name)
        target = Target.parse(request.target).text
        if bool(request.text.strip()) == bool(request.revision):
            raise InvalidInput("give either a text or a revision to bring back")
        for attempt in range(_ATTEMPTS):
            try:
                return await self._put_once(kind, name, target, request, dry_run=dry_run)
            except Conflict:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError  # the loop returns or raises

    async def delete(self, kind: Kind, name: str, target: str, *, dry_run: bool = False) -> SentItem:
        """Take back what was sent: agents go on with what they have of their own."""
        target = Target.parse(target).text
        present = await self._find(kind, name, target)
        if present is None:
            others = sorted({sent.target for sent in await self._sent(kind) if sent.name == name})
            hint = f"it was sent to {', '.join(others)}" if others else "`mls agent list-policies` shows what there is"
            raise NotFound(f"no {kind} {name!r} was sent to {target}", hint=hint)
        sent = SentToAgents.from_data(present.get("data") or {})
        await self._store.delete(
            CONFIG_MAPS, present["metadata"]["name"], self._framework, uid=present["metadata"]["uid"], dry_run=dry_run
        )
        return _item(sent, action="deleted", dry_run=dry_run)

    async def _put_once(self, kind: Kind, name: str, target: str, request: AgentsRequest, *, dry_run: bool) -> SentItem:
        present = await self._find(kind, name, target)
        before = _read(present) if present is not None else None
        text, signature = request.text, request.signature
        if request.revision:
            text, signature = _kept(before, kind, name, target, request.revision)
        if kind == POLICY:
            _check_policy(name, text)
            await self._must_be_allowed(name, digest_of(text), signature)
        else:
            AgentSettings.of(load_yaml(text.encode(), f"config {name}"))
        digest = digest_of(text)
        if present is not None and before is not None and before.current.digest == digest:
            if signature in ("", before.current.signature):
                return _item(before, action="unchanged", dry_run=dry_run)
            before.current.signature = signature
            await self._store.update(
                CONFIG_MAPS, {**present, "data": before.to_data()}, self._framework, dry_run=dry_run
            )
            return _item(before, action="updated", dry_run=dry_run)
        number = before.current.revision + 1 if before is not None else 1
        revision = Revision(
            revision=number,
            digest=digest,
            time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            of=request.revision,
            signature=signature,
        )
        earlier = before.revisions if before is not None else []
        sent = SentToAgents(kind=kind, name=name, target=target, revisions=[revision, *earlier][:KEEP_REVISIONS])
        sent.texts = {**(before.texts if before is not None else {}), number: text}
        if present is None:
            labels = {
                FOR_AGENTS: kind,
                "app.kubernetes.io/managed-by": "mlsysops",
                "app.kubernetes.io/part-of": "mlsysops",
            }
            metadata = {"name": object_name(kind, name, target), "namespace": self._framework, "labels": labels}
            obj: dict[str, Any] = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": metadata,
                "data": sent.to_data(),
            }
            await self._store.create(CONFIG_MAPS, obj, self._framework, dry_run=dry_run)
            return _item(sent, action="created", dry_run=dry_run)
        await self._store.update(CONFIG_MAPS, {**present, "data": sent.to_data()}, self._framework, dry_run=dry_run)
        return _item(sent, action="updated", dry_run=dry_run)

    async def _find(self, kind: Kind, name: str, target: str) -> Object | None:
        try:
            return await self._store.get(CONFIG_MAPS, object_name(kind, name, target), self._framework)
        except NotFound:
            return None

    async def _sent(self, kind: Kind) -> list[SentToAgents]:
        found = [
            _read(obj)
            for obj in (await self._store.list(CONFIG_MAPS, self._framework)).items
            if (obj["metadata"].get("labels") or {}).get(FOR_AGENTS) == kind
        ]
        return sorted((item for item in found if item is not None), key=lambda item: (item.name, item.target))

    async def _policies(self, target: Target | None) -> list[AgentPolicy]:
        found: list[AgentPolicy] = []
        for kind, tier in _KINDS.items():
            for obj in (await self._store.list(resource_of(kind), self._namespace)).items:
                name = str(obj["metadata"]["name"])
                if target is not None and not target.matches(tier, name, own_labels(tier, name, obj)):
                    continue
                found += [
                    AgentPolicy.model_validate({**item, "tier": tier, "agent": name})
                    for item in (obj.get("status") or {}).get("policies") or ()
                    if isinstance(item, Mapping) and item.get("name")
                ]
        return found

    async def _must_be_allowed(self, name: str, digest: str, signature: str) -> None:
        """Refuse what no agent would take; whose signature it is, the agents find out."""
        try:
            data = (await self._store.get(CONFIG_MAPS, SETTINGS, self._framework)).get("data") or {}
        except NotFound:
            return
        if not {"policy-digests", "policy-signers"} & data.keys() or (signature and "policy-signers" in data):
            return
        allowed = {item.removeprefix("sha256:") for item in data.get("policy-digests", "").replace(",", " ").split()}
        if digest in allowed:
            return
        if "policy-signers" in data:
            raise Refused(
                f"policy {name} is not signed, and its digest sha256:{digest} is not allowed by itself",
                hint="`mls agent sign-policy --key KEY --file FILE` signs it",
            )
        raise Refused(
            f"policy {name}: its digest sha256:{digest} is not among those that the slice allows",
            hint=f"whoever may, adds it to policy-digests of ConfigMap {SETTINGS}",
        )


def _read(obj: Object) -> SentToAgents | None:
    """Return what an object holds; None where somebody made it what it should not be, which agents tell of."""
    try:
        return SentToAgents.from_data(obj.get("data") or {})
    except InvalidInput:
        return None


def _kept(before: SentToAgents | None, kind: Kind, name: str, target: str, revision: int) -> tuple[str, str]:
    """Return text and signature of an earlier revision."""
    text = before.texts.get(revision, "") if before is not None else ""
    if before is None or not text:
        kept = ", ".join(str(item.revision) for item in before.revisions) if before else "none"
        raise NotFound(f"{kind} {name!r} for {target} has no revision {revision}", hint=f"kept: {kept}")
    return text, next(item.signature for item in before.revisions if item.revision == revision)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} is no name", hint="letters, digits, - _ and ., at most 64 of them")


def _check_policy(name: str, text: str) -> None:
    """Check what can be checked without running it; the agents load it in a process of its own before they use it."""
    if len(text.encode()) > MAX_POLICY_BYTES:
        raise InvalidInput(f"policy {name}: larger than {MAX_POLICY_BYTES} bytes")
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError) as exc:
        line, column = getattr(exc, "lineno", 0) or 0, getattr(exc, "offset", 0) or 0
        message = getattr(exc, "msg", str(exc))
        raise InvalidInput(faults=[Fault(f"policy-{name}.py", line, column, "", message)]) from exc
    functions = {item.name: item for item in module.body if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef))}
    imported = {
        alias.asname or alias.name
        for item in module.body
        if isinstance(item, (ast.ImportFrom, ast.Import))
        for alias in item.names
    }
    faults = [
        Fault(f"policy-{name}.py", 0, 0, "", f"function {wanted}() is missing")
        for wanted in ("initialize", "analyze", "plan")
        if wanted not in functions and wanted not in imported and not _assigned(module, wanted)
    ]
    faults += [
        Fault(f"policy-{name}.py", functions[wanted].lineno, 1, "", f"{wanted}() must be 'async def'")
        for wanted in ("analyze", "plan")
        if isinstance(functions.get(wanted), ast.FunctionDef)
    ]
    if faults:
        raise InvalidInput(faults=faults)


def _assigned(module: ast.Module, name: str) -> bool:
    targets = [target for item in module.body if isinstance(item, ast.Assign) for target in item.targets]
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)


def _item(
    sent: SentToAgents,
    *,
    action: Literal["", "created", "updated", "unchanged", "deleted"] = "",
    dry_run: bool = False,
) -> SentItem:
    return SentItem(
        kind=sent.kind,
        name=sent.name,
        target=sent.target,
        revision=sent.current.revision,
        digest=f"sha256:{sent.current.digest}",
        action=action,
        dry_run=dry_run,
        revisions=[SentRevision.model_validate(item.model_dump()) for item in sent.revisions],
    )
