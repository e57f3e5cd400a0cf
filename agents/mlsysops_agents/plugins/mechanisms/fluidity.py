"""Mechanism ``fluidity``: runs components on nodes as Deployments, and moves, changes and removes them.

Everything is written by server-side apply from the description, so a command carried out twice is the same as once, and an
agent that died half way goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar

from mlsysops_core.contracts import Outcome, PluginHandle, Rejected
from mlsysops_core.errors import Conflict, InvalidInput, NotFound
from mlsysops_core.model import Application, Component
from mlsysops_core.permissions import ANY, is_permitted
from pydantic import ValidationError

from .actions import Action, Command, is_idle, read_command
from .inplace import InPlace
from .partners import addresses_elsewhere, outdated, partners
from .placements import Placements, described, node_of, raw_component
from .turns import Turns
from .workloads import HASH, LABEL_APPLICATION, LABEL_COMPONENT, OVERRIDE, Workload, component_hash, workload_name

__all__ = ["Fluidity"]

_MANAGER = "mlsysops-fluidity"
#: What of a component a policy may change, and which of the application's permitted_actions lets it. For anything else there
#: is no word, so that only "*" permits it.
_PERMISSIONS = {
    "image": "change_container_image",
    "runtime_class_name": "change_container_runtime_class",
    "platform_requirements": "change_container_resource_requirements",
    "acceleration": "acceleration",
}
#: Environment variables by which a component's accelerator is chosen (vAccel).
_ACCELERATION = "VACCEL_"
_REASONS = {
    "deploy": "Scheduled",
    "move": "Relocated",
    "remove": "Removed",
    "change_spec": "Updated",
    "connect": "Connected",
}


class Fluidity:
    """Acts for the cluster tier."""

    tiers: ClassVar[frozenset[str]] = frozenset({"cluster"})

    def __init__(self, handle: PluginHandle) -> None:
        self._handle = handle
        self._deployments = InPlace(handle, _MANAGER)
        self._placements = Placements(handle, self._deployments.busy)
        self._arrivals = Turns()

    # -- acting ------------------------------------------------------------------------------------------------

    async def apply(self, command: Mapping[str, Any]) -> Outcome:
        """Carry out all actions; Services of all components come before any Deployment.

        Raises:
            InvalidInput: The command has another form, or a component is not in the description, or the name of an object is
                taken by something that is not ours.
            NotFound: The application is gone.
            Conflict: Somebody else took the room meanwhile.
        """
        read = read_command(command)
        hosts = {str(action.host) for action in read.actions if action.verb in {"deploy", "move"}}
        # Room is taken by what is written: of several who are sent to one node each has to see what those before it took.
        async with self._arrivals.at(hosts):
            self._must_have_room(read)
            return await self._carry_out(read)

    def _must_have_room(self, command: Command) -> None:
        for action in command.actions:
            if (
                action.verb in {"deploy", "move"}
                and self._node_of(command.application, action.component) != action.host
            ):
                rejected = self._handle.objection(command.application, action.component, str(action.host))
                if rejected is not None:
                    raise Conflict(_no_room(action, rejected))

    async def _carry_out(self, read: Command) -> Outcome:
        owner = self._handle.objects.get("MLSysOpsApp", read.application)
        if owner is None:
            raise NotFound(f"application {read.application} is gone")
        description = described(owner)
        elsewhere = partners(description, self._handle.assigned(read.application))
        written = outdated(self._handle.objects, owner, description, elsewhere)
        for action in read.actions:
            if action.verb not in {"remove", "connect"}:
                written.extend(self._workload(owner, description, action).objects())
        # All names are checked before anything is written: a command that cannot be carried out leaves nothing behind.
        for item in written:
            self._must_be_ours(item)
        undo = self._undo(read)
        in_place: dict[str, str] = {}
        for item in sorted(written, key=lambda item: item["kind"] == "Deployment"):
            if item["kind"] == "Deployment":
                in_place[item["metadata"]["labels"][LABEL_COMPONENT]] = await self._deployments.write(item)
            else:
                await self._handle.objects.apply(item, field_manager=_MANAGER)
        for action in read.actions:
            if action.verb == "remove":
                await self._remove(read.application, action.component, kept=elsewhere)
            elif action.verb == "deploy":
                await self._drop(addresses_elsewhere(self._handle.objects, read.application, action.component))
            elif action.verb == "change_spec":
                await self._drop_leftovers(read.application, action.component, written)
        messages = [_sentence(action, in_place.get(action.component, "")) for action in read.actions]
        await asyncio.gather(
            *(
                self._handle.objects.event(owner, kind="Normal", reason=_REASONS[action.verb], message=message)
                for action, message in zip(read.actions, messages, strict=True)
            )
        )
        return Outcome(ok=True, message=", ".join(messages), undo=undo)

    def _undo(self, command: Command) -> dict[str, Any] | None:
        """Return the command that takes this one back; None where that is not possible."""
        plan: dict[str, Any] = {"initial_plan": False}
        for action in command.actions:
            present = self._node_of(command.application, action.component)
            if action.verb == "deploy" and present is None:
                plan[action.component] = [{"action": "remove", "host": action.host}]
            elif action.verb == "move" and present not in (None, action.host):
                plan[action.component] = [{"action": "move", "src_host": action.host, "target_host": present}]
            else:
                return None
        return {"name": command.application, "deployment_plan": plan}

    def effects(self, command: Mapping[str, Any]) -> Mapping[str, str]:
        """Return where each component is to be: two policies that move one to and fro are seen by that."""
        read = read_command(command)
        return {
            f"application/{read.application}/{action.component}": f"on {action.host}"
            for action in read.actions
            if action.verb in {"deploy", "move"}
        }

    def is_idle(self, command: Mapping[str, Any]) -> bool:
        """Say whether there is nothing to do."""
        return is_idle(command)

    def assets(self, command: Mapping[str, Any]) -> frozenset[str]:
        """Return the components, each by itself."""
        read = read_command(command)
        return frozenset(f"application/{read.application}/{action.component}" for action in read.actions)

    def check(self, command: Mapping[str, Any]) -> str:
        """Say why a command no longer makes sense: things moved on, or the description forbids it."""
        read = read_command(command)
        owner = self._handle.objects.get("MLSysOpsApp", read.application)
        if owner is None or owner["metadata"].get("deletionTimestamp"):
            return f"application {read.application} is gone"
        description = described(owner)
        assigned = set(self._handle.assigned(read.application))
        for action in read.actions:
            if objection := self._objection(description, assigned, action):
                return objection
        return ""

    def _objection(self, description: Application, assigned: set[str], action: Action) -> str:
        if action.verb == "remove":
            # Else a policy could move anything: take it away here, and it is placed anew elsewhere.
            here = self._node_of(description.name, action.component) if action.component in assigned else None
            return "" if here is None else self._must_stay(description, action.component, here)
        if action.verb == "connect":
            elsewhere = action.component in partners(description, assigned)
            return "" if elsewhere else f"component {action.component} is in no other cluster"
        if action.component not in assigned:
            return f"component {action.component} is not for this cluster"
        present = self._node_of(description.name, action.component)
        if action.verb in {"move", "change_spec"} and present is None:
            return f"component {action.component} is not placed"
        if action.verb == "move":
            if present == action.host:
                return f"component {action.component} is on {present} already"
            if action.source is not None and action.source != present:
                return f"component {action.component} is on {present}, not on {action.source}"
            if present is not None and (kept := self._must_stay(description, action.component, present)):
                return kept
        if action.verb == "change_spec":
            return _forbidden_change(description, action)
        if action.verb == "deploy" and present not in (None, action.host):
            return f"component {action.component} is on {present} already"
        host = str(action.host)
        rejected = self._handle.objection(description.name, action.component, host)
        if rejected is not None and not (action.verb == "deploy" and present == host):
            return _no_room(action, rejected)
        return ""

    def _must_stay(self, description: Application, component: str, present: str) -> str:
        """Say why a component may not leave its node: one that still serves is left only where the owner permits it."""
        if _may_move(description) or self._handle.objection(description.name, component, present) is not None:
            return ""
        return f"component_relocation is not among the permitted_actions of {description.name}"

    def _workload(self, owner: Mapping[str, Any], description: Application, action: Action) -> Workload:
        component = description.component(action.component)
        if component is None:
            raise InvalidInput(f"application {description.name} has no component {action.component}")
        digest = component_hash(raw_component(owner, action.component))
        override = self._override(description.name, component.name, digest)
        if action.verb == "change_spec":
            wanted = raw_component(owner, action.component) | dict(action.new_spec)
            override = wanted if component_hash(wanted) != digest else None
        if override is not None:
            component = Component.model_validate(override)
        present = self._node_of(description.name, action.component)
        # A change of the specification is no move: policies may name any host there.
        node = present if action.verb == "change_spec" else action.host or present
        if node is None:
            raise InvalidInput(f"component {action.component} has no node")
        return Workload(owner, component, digest, node, override, self._sensor_endpoints(node))

    def _override(self, application: str, component: str, digest: str) -> dict[str, Any] | None:
        """Return what a policy changed, as long as the description is the one that it changed."""
        deployment = self._handle.objects.get("Deployment", workload_name(application, component))
        annotations = (deployment or {"metadata": {}})["metadata"].get("annotations") or {}
        if annotations.get(HASH) != digest or OVERRIDE not in annotations:
            return None
        return dict(json.loads(annotations[OVERRIDE]))

    def _sensor_endpoints(self, node: str) -> dict[str, str]:
        described = self._handle.objects.get("MLSysOpsNode", node) or {}
        return {
            kind: str(sensor["endpoint"])
            for sensor in (described.get("spec") or {}).get("sensors") or ()
            if sensor.get("endpoint")
            for kind, value in sensor.items()
            if isinstance(value, Mapping)
        }

    def _must_be_ours(self, item: Mapping[str, Any]) -> None:
        """Two applications may both have a component ``db``, but a Service has one name: the first keeps it."""
        name, kind = item["metadata"]["name"], item["kind"]
        present = self._handle.objects.get(kind, name)
        if present is None:
            return
        holder = (present["metadata"].get("labels") or {}).get(LABEL_APPLICATION)
        wanted = item["metadata"]["labels"][LABEL_APPLICATION]
        if holder != wanted:
            taken_by = f"application {holder}" if holder else "an object that is not ours"
            raise NameTaken(f"{kind} {name} belongs to {taken_by}; rename the component")

    async def _remove(self, application: str, component: str, *, kept: Collection[str]) -> None:
        """Remove a component; its Service stays while it is wanted for reaching it in another cluster."""
        for kind in ("Deployment", "ConfigMap") if component in kept else ("Deployment", "Service", "ConfigMap"):
            await self._drop(self._owned(kind, application, component))
        if component not in kept:
            await self._drop(addresses_elsewhere(self._handle.objects, application, component))

    async def _drop(self, items: Iterable[Mapping[str, Any]]) -> None:
        for item in items:
            await self._handle.objects.delete(item["kind"], item["metadata"]["name"], uid=item["metadata"].get("uid"))

    async def _drop_leftovers(self, application: str, component: str, written: Iterable[Mapping[str, Any]]) -> None:
        """Delete the Service or ConfigMap that a changed component no longer has."""
        kept = {(item["kind"], item["metadata"]["name"]) for item in written}
        for kind in ("Service", "ConfigMap"):
            owned = self._owned(kind, application, component)
            await self._drop(item for item in owned if (kind, item["metadata"]["name"]) not in kept)

    def _owned(self, kind: str, application: str, component: str) -> list[dict[str, Any]]:
        return [
            item
            for item in self._handle.objects.labelled(kind, LABEL_APPLICATION, application)
            if item["metadata"]["labels"].get(LABEL_COMPONENT) == component
        ]

    # -- showing -----------------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Return where every component is, and the nodes there are."""
        return self._placements.show()

    def get_status(self) -> dict[str, Any]:
        """Return nothing: this mechanism has no health of its own."""
        return {}

    def get_options(self) -> dict[str, Any]:
        """Return the actions and hosts there are."""
        hosts = [item["metadata"]["name"] for item in self._handle.objects.items("MLSysOpsNode")]
        return {"actions": ["deploy", "move", "remove", "change_spec", "connect"], "hosts": hosts}

    def _node_of(self, application: str, component: str) -> str | None:
        return node_of(self._handle.objects.get("Deployment", workload_name(application, component)))


class NameTaken(InvalidInput):
    """A name is in use by somebody else; trying again does not help."""


def _may_move(description: Application) -> bool:
    return is_permitted("component_relocation", {"permitted_actions": description.permitted_actions})


def _forbidden_change(description: Application, action: Action) -> str:
    """Say which of a policy's changes the owner does not permit; what the description itself says is always permitted."""
    component = description.component(action.component)
    if component is None:
        return f"application {description.name} has no component {action.component}"
    before = component.model_dump(by_alias=True, exclude_none=True, mode="json")
    try:
        wanted = Component.model_validate({**before, **action.new_spec})
    except ValidationError as exc:
        return f"the new specification of {action.component} is not valid: {exc.errors(include_url=False)[0]['msg']}"
    for key in sorted(_changed(before, wanted.model_dump(by_alias=True, exclude_none=True, mode="json"))):
        word = _PERMISSIONS.get(key)
        if not is_permitted(word or ANY, {"permitted_actions": description.permitted_actions}):
            what = f"{word} is" if word else f"a change of {key} is permitted by {ANY} alone, which is"
            return f"{what} not among the permitted_actions of {description.name}"
    return ""


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Return which parts of a component differ, those of its containers by themselves."""
    found = {key for key in before.keys() | after.keys() if key != "containers" and before.get(key) != after.get(key)}
    old, new = before["containers"], after["containers"]
    if len(old) != len(new):
        return found | {"containers"}
    for one, other in zip(old, new, strict=True):
        found |= {key for key in one.keys() | other.keys() if key != "env" and one.get(key) != other.get(key)}
        if one.get("env") != other.get("env"):
            plain = [_without_acceleration(item.get("env") or ()) for item in (one, other)]
            found.add("acceleration" if plain[0] == plain[1] else "env")
    return found


def _without_acceleration(environment: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [item for item in environment if not str(item["name"]).startswith(_ACCELERATION)]


def _no_room(action: Action, rejected: Rejected) -> str:
    return f"component {action.component} does not fit on {action.host}: {rejected.filter} ({rejected.reason})"


def _sentence(action: Action, in_place: str) -> str:
    if in_place:
        return f"{action.component} {in_place}"
    match action.verb:
        case "deploy":
            return f"{action.component} placed on {action.host}"
        case "move":
            return f"{action.component} moved from {action.source or 'its node'} to {action.host}"
        case "remove":
            return f"{action.component} removed"
        case "change_spec":
            return f"{action.component} changed"
        case "connect":
            return f"{action.component} is reached in another cluster"
