"""What all mechanisms of a node have in common, so that none can forget it: permission, checks, record, confirmation, restoring.

A mechanism says what it can do, what there is, and which knobs a command would set to what (`_changes`). Whether that is
permitted, and how it is carried out and put back, is decided here alone.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from mlsysops_core.contracts import Object, Outcome
from mlsysops_core.errors import InvalidInput, MlsError, NotFound, Refused
from mlsysops_core.knobs import NodePluginHandle, acting_policy
from mlsysops_core.permissions import refusal

from .command import Command, read_command
from .knob import Change, FileKnob, Knob
from .ledger import Entry, Ledger, boot_of
from .transaction import carry_out, is_ours, preview, put_back, steps

__all__ = ["NodeMechanism"]

_log = logging.getLogger(__name__)

#: Every analysis asks for state and options; the machine is looked at no oftener than this (seconds).
_LOOK_SECONDS = 1.0
#: The command that an outcome names to be taken back.
_UNDO = "undo"
#: Values of a knob that a command may bring back.
_MOST_UNDONE = 16


@dataclass(frozen=True, slots=True)
class _Undo:
    """What this process did to a knob: what it belongs to, its values before (the newest last), and the one that was set last."""

    asset: str
    before: tuple[str, ...]
    to: str


class NodeMechanism(ABC):
    """Base of the node's mechanisms.

    Args:
        handle: The agent.
        ledger: The record of previous settings; in the agent's state directory where None.
    """

    tiers: ClassVar[frozenset[str]] = frozenset({"node"})
    #: Name of the mechanism.
    name: ClassVar[str]
    #: The word of ``permitted_actions`` that it needs.
    permission: ClassVar[str]
    #: Form of its commands.
    model: ClassVar[type[Command]]

    def __init__(self, handle: NodePluginHandle, *, ledger: Ledger | None = None) -> None:
        self._handle = handle
        self._root = handle.root
        self._ledger = ledger or Ledger(
            handle.state_dir / "mechanisms" / f"{self.name}.json", boot=boot_of(handle.root)
        )
        # Not an asyncio.Lock: a command that was given up goes on in its thread, and nothing may run beside it.
        self._turn = threading.Lock()
        self._seen: dict[str, tuple[float, dict[str, Any]]] = {}
        self._last_fault = ""
        self._undoable: dict[str, _Undo] = {}

    # -- what a mechanism says of itself -----------------------------------------------------------------------

    @abstractmethod
    def _unavailable(self) -> str:
        """Say why this machine does not have the knob; empty where it does."""

    @abstractmethod
    def _changes(self, command: Any) -> list[Change]:
        """Check a command against what there is, and return what it changes, in the order to write it.

        Raises:
            InvalidInput: A value is not allowed; the message names what is.
            NotFound: What it is about is not here.
        """

    @abstractmethod
    def _assets(self, command: Any) -> frozenset[str]:
        """Return what a well-formed command touches."""

    @abstractmethod
    def _look(self) -> dict[str, Any]:
        """Return the state of what there is."""

    @abstractmethod
    def _offer(self) -> dict[str, Any]:
        """Return what commands are possible."""

    def _objection(self, command: Any) -> str:
        """Say why a well-formed command no longer makes sense."""
        return ""

    def _application(self, command: Any) -> Object | None:
        """Return the application that a command changes; None where it is about the node alone."""
        return None

    def _knob(self, entry: Entry) -> Knob:
        """Find the knob of a record."""
        return FileKnob(self._root, entry.key)

    # -- acting ------------------------------------------------------------------------------------------------

    async def apply(self, command: Mapping[str, Any]) -> Outcome:
        """Carry out a command, all of it or nothing; with ``dry_run`` only say what it would change.

        The outcome's ``undo`` brings back the very values that were there before this command.

        Raises:
            InvalidInput: The command has an unknown key or a value that is not allowed.
            Refused: A description does not permit it, the machine does not have the knob, or the kernel does not let the agent.
            NotFound: What it is about is not here.
            PartialFailure: It failed half way, and not everything could be put back.
        """
        if command.get("command") == _UNDO:
            return await self._undo(command)
        read = self._read(command)
        if read.command == "reset":
            return await self._reset(read)
        if not read.dry_run and (refused := self.refusal(read)):
            raise Refused(f"{self.name}: {refused}")
        if reason := self._unavailable():
            raise Refused(f"{self.name}: unavailable: {reason}")
        changes = self._changes(read)
        if read.dry_run:
            told = [step.as_dict() for step in steps(changes)]
            return Outcome(ok=True, message=f"would change {len(told)} settings", details={"changes": told})
        policy = acting_policy.get()
        try:
            done = await asyncio.to_thread(self._carry_out, changes, policy)
        except MlsError as exc:
            self._last_fault = str(exc)
            raise
        finally:
            self._seen.clear()
        self._last_fault = ""
        for step in done:
            known = self._undoable.get(step.change.knob.key)
            before = (*(known.before if known is not None else ()), step.before)[-_MOST_UNDONE:]
            self._undoable[step.change.knob.key] = _Undo(step.change.asset, before, step.change.to)
        told = [step.as_dict() for step in done]
        undo = {"command": _UNDO, "values": {step.change.knob.key: step.before for step in reversed(done)}}
        return Outcome(ok=True, message=_sentence(told), details={"changes": told}, undo=undo)

    def dry_run(self, command: Mapping[str, Any]) -> list[dict[str, str]]:
        """Return what a command would change: ``path``, ``from`` and ``to`` of each knob; errors as of `apply`."""
        read = self._read(command)
        if reason := self._unavailable():
            raise Refused(f"{self.name}: unavailable: {reason}")
        return [step.as_dict() for step in steps(self._changes(read))]

    async def restore(self, *, policy: str | None = None, assets: Set[str] | None = None) -> Sequence[str]:
        """Put back what was changed, of one policy or of some assets only where given.

        Raises:
            PartialFailure: Some could not be put back; they stay on record.
        """
        chosen = [
            entry
            for entry in self._ledger.entries().values()
            if (policy is None or entry.policy == policy) and (assets is None or entry.asset in assets)
        ]
        return await self._give_back(chosen)

    async def tidy(self) -> Sequence[str]:
        """Put back, or forget, what was set for something that is gone meanwhile.

        Raises:
            PartialFailure: Some could not be put back; they stay on record.
        """
        return await self._give_back([entry for entry in self._ledger.entries().values() if self._is_obsolete(entry)])

    def policies(self) -> frozenset[str]:
        """Return the policies whose settings are in force."""
        return frozenset(entry.policy for entry in self._ledger.entries().values() if entry.policy)

    def _is_obsolete(self, entry: Entry) -> bool:
        """Say whether what an entry was set for is gone."""
        try:
            self._knob(entry).read()
        except NotFound:
            return True
        except MlsError:
            return False
        return False

    async def _give_back(self, chosen: Sequence[Entry]) -> list[str]:
        if not chosen:
            return []
        try:
            told = await asyncio.to_thread(self._put_back, chosen)
        finally:
            self._seen.clear()
        for line in told:
            _log.info("%s: %s", self.name, line)
        return told

    def refusal(self, command: Any) -> str:
        """Say why the descriptions do not permit a command; empty where they do."""
        node = self._handle.objects.get("MLSysOpsNode", self._handle.agent.name)
        if node is None:
            return f"node {self._handle.agent.name} has no description, so nothing is permitted"
        return refusal(self.permission, node=node, application=self._application(command))

    def _read(self, command: Mapping[str, Any]) -> Any:
        return read_command(self.model, command, self.name)

    async def _undo(self, command: Mapping[str, Any]) -> Outcome:
        """Take back one command; only of knobs that this process has turned itself, to what they were then.

        No permission is asked for, so whatever the command says, it can do no more than that.
        """
        values = {str(key): str(value) for key, value in dict(command.get("values") or {}).items()}
        if unknown := values.keys() - self._undoable.keys():
            raise Refused(f"{self.name}: {', '.join(sorted(unknown))} was not changed here, so it cannot be undone")
        changes: list[Change] = []
        for key, value in values.items():
            undo = self._undoable[key]
            if value not in undo.before:
                raise Refused(f"{self.name}: {key} was not {value!r} before, so that cannot be brought back")
            known = self._ledger.entries().get(key) or Entry(key, value, (undo.to,), undo.asset, "", 0.0)
            knob = self._knob(known)
            try:
                found = knob.read()
            except NotFound:
                continue
            if not is_ours(replace(known, ours=(undo.to,)), knob, found) and not knob.same(value, found):
                _log.info("%s: %s is %r, which somebody else set; left alone", self.name, key, found)
                continue
            changes.append(Change(knob, value, undo.asset))
        try:
            done = await asyncio.to_thread(self._carry_out, changes, acting_policy.get())
        finally:
            self._seen.clear()
        for step in done:
            key = step.change.knob.key
            self._undoable[key] = replace(self._undoable[key], to=step.change.to)
        return Outcome(ok=True, message=f"took back {len(done)} settings")

    async def _reset(self, read: Any) -> Outcome:
        assets = self._assets(read)
        if read.dry_run:
            held = [entry for entry in self._ledger.entries().values() if entry.asset in assets]
            told = preview(held, self._knob)
            return Outcome(ok=True, message=f"would put back {len(told)} settings", details={"changes": told})
        lines = await self.restore(assets=assets)
        return Outcome(ok=True, message="; ".join(lines) or "nothing to put back", details={"restored": list(lines)})

    def _carry_out(self, changes: Sequence[Change], policy: str) -> list[Any]:
        with self._turn:
            return carry_out(self._ledger, changes, policy=policy, now=self._handle.clock.time())

    def _put_back(self, entries: Sequence[Entry]) -> list[str]:
        with self._turn:
            return put_back(self._ledger, entries, self._knob)

    # -- what the scheduler asks -------------------------------------------------------------------------------

    def assets(self, command: Mapping[str, Any]) -> frozenset[str]:
        """Return what a command touches; the mechanism itself where that cannot be told."""
        if command.get("command") == _UNDO:
            keys = dict(command.get("values") or {})
            known = (self._undoable.get(str(key)) for key in keys)
            return frozenset(f"mechanism/{self.name}" if undo is None else undo.asset for undo in known)
        try:
            return self._assets(self._read(command))
        except (InvalidInput, NotFound):
            return frozenset({f"mechanism/{self.name}"})

    def check(self, command: Mapping[str, Any]) -> str:
        """Say why a command no longer makes sense. What is wrong with the command itself, `apply` says."""
        if command.get("command") == _UNDO:
            return ""
        try:
            return self._objection(self._read(command))
        except InvalidInput:
            return ""

    # -- showing -----------------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Return the present settings; empty where the machine has none."""
        return self._cached("state", lambda: {} if self._unavailable() else self._look())

    def get_options(self) -> dict[str, Any]:
        """Return what commands are possible; ``{"unavailable": reason}`` where the machine does not have the knob."""

        def offer() -> dict[str, Any]:
            reason = self._unavailable()
            return {"unavailable": reason} if reason else self._offer()

        return self._cached("options", offer)

    def get_status(self) -> dict[str, Any]:
        """Return what is on record to be put back, and what went wrong last."""
        held = {
            entry.key: {"previous": entry.previous, "set": entry.ours[-1], "policy": entry.policy, "asset": entry.asset}
            for entry in self._ledger.entries().values()
        }
        return {"held": held, **({"fault": self._last_fault} if self._last_fault else {})}

    def _cached(self, what: str, make: Any) -> dict[str, Any]:
        now = self._handle.clock.monotonic()
        at, value = self._seen.get(what, (float("-inf"), {}))
        if now - at >= _LOOK_SECONDS:
            try:
                value = make()
            except MlsError as exc:
                # What vanishes while it is looked at (a container that ends) is no reason to stop an analysis.
                _log.info("%s: no %s: %s", self.name, what, exc)
                value = {"unavailable": str(exc)} if what == "options" else {}
            self._seen[what] = (now, value)
        return copy.deepcopy(value)


def _sentence(told: Sequence[Mapping[str, str]]) -> str:
    if not told:
        return "all is as wanted already"
    first = told[0]
    more = f" and {len(told) - 1} more" if len(told) > 1 else ""
    return f"{first['path']} from {first['from']!r} to {first['to']!r}{more}"
