"""Several knobs as one step: recorded first, written one by one and read again, put back when one of them fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from mlsysops_core.errors import MlsError, NotFound, PartialFailure

from .knob import CannotRestore, Change, Knob
from .ledger import Entry, Ledger

__all__ = ["Step", "carry_out", "is_ours", "preview", "put_back", "steps"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """One change, with the value that is there now."""

    change: Change
    before: str

    def as_dict(self) -> dict[str, str]:
        """Return what a dry run tells."""
        return {"path": self.change.knob.key, "from": self.before, "to": self.change.to}


def steps(changes: Iterable[Change]) -> list[Step]:
    """Read what is there, and leave out what is as wanted already.

    Raises:
        NotFound: A knob is gone.
        MlsError: One cannot be read.
    """
    found = [Step(change, change.knob.read()) for change in changes]
    return [step for step in found if not step.change.knob.same(step.change.to, step.before)]


def carry_out(ledger: Ledger, changes: Sequence[Change], *, policy: str, now: float) -> list[Step]:
    """Make changes, all or none.

    Args:
        ledger: Where the previous values are recorded before anything is written.
        changes: The changes, in the order in which they can be made.
        policy: Who asked for them.
        now: Seconds since the Unix epoch.

    Returns:
        What was changed.

    Raises:
        MlsError: One failed; those before it are as they were. Its class is that of the failure.
        PartialFailure: One failed, and another could not be put back; both are named.
    """
    todo = steps(changes)
    known = ledger.entries()
    wanted = {change.knob.key: change for change in changes}
    # Who asked last is who the setting belongs to, also where it is as wanted already.
    claimed = [replace(known[key], policy=policy) for key in wanted if key in known]
    intents = [_intent(step, known.get(step.change.knob.key), policy, now) for step in todo]
    before = dict(known)
    ledger.record([*claimed, *intents])
    for position, step in enumerate(todo):
        try:
            _set(step.change.knob, step.change.to)
        except MlsError as exc:
            stuck = _roll_back(todo[: position + 1])
            fine = wanted.keys() - stuck.keys()
            # What is left there is our doing, whatever the kernel made of it.
            left = [replace(entry, ours=(*entry.ours, stuck[entry.key])) for entry in intents if entry.key in stuck]
            ledger.record(
                [*(before[key] for key in fine if key in before), *left],
                forget=[key for key in fine if key not in before],
            )
            if stuck:
                raise PartialFailure(f"{exc}; and not put back: {', '.join(stuck)}") from exc
            raise
    remembered = {step.change.knob.key for step in todo if step.change.knob.remembered}
    written = [replace(entry, pending=False) for key, entry in ledger.entries().items() if key in remembered]
    # What is back at its first value needs nobody to restore it.
    settled = [
        entry.key for entry in ledger.entries().values() if entry.key in wanted and _at_first(wanted[entry.key], entry)
    ]
    ledger.record([entry for entry in written if entry.key not in settled], forget=settled)
    return todo


def put_back(ledger: Ledger, entries: Sequence[Entry], knob_of: Callable[[Entry], Knob]) -> list[str]:
    """Give knobs their previous values.

    A value that is neither ours nor the previous one was set by somebody else meanwhile: it stays, unless the system itself
    made it of ours. What is gone needs no restoring.

    Args:
        ledger: The record; what is done is taken out of it.
        entries: Which entries.
        knob_of: Finds an entry's knob.

    Returns:
        One line for each.

    Raises:
        PartialFailure: Some could not be put back; they stay on record.
    """
    told: list[str] = []
    done: list[str] = []
    left = list(reversed(entries))
    failed: dict[str, str] = {}
    # One value may stand in the way of another (a lower limit above the upper one), so go round while it gets better.
    while left:
        again: list[Entry] = []
        for entry in left:
            try:
                told.append(_put_back_one(entry, knob_of))
                done.append(entry.key)
            except MlsError as exc:
                failed[entry.key] = str(exc)
                again.append(entry)
        if len(again) == len(left):
            break
        left = again
    else:
        failed = {}
    ledger.record([], forget=done)
    if left:
        reasons = "; ".join(failed[entry.key] for entry in left)
        raise PartialFailure(f"{len(left)} of {len(entries)} settings are not put back: {reasons}")
    return told


def _put_back_one(entry: Entry, knob_of: Callable[[Entry], Knob]) -> str:
    try:
        knob = knob_of(entry)
        found = knob.read()
        if knob.same(entry.previous, found):
            return f"{entry.key} is {found!r}, as it was"
        if not is_ours(entry, knob, found):
            return f"{entry.key} is {found!r}, which somebody else set; left alone"
        _set(knob, entry.previous)
    except NotFound:
        return f"{entry.key} is gone"
    except CannotRestore as exc:
        return str(exc)
    return f"{entry.key} put back from {found!r} to {entry.previous!r}"


def is_ours(entry: Entry, knob: Knob, found: str) -> bool:
    """Say whether a value that was found is one that we set, or what the system made of it."""
    return any(knob.same(value, found) or knob.drifted(value, found) for value in entry.ours)


def preview(entries: Sequence[Entry], knob_of: Callable[[Entry], Knob]) -> list[dict[str, str]]:
    """Return what `put_back` would change, as a dry run tells it."""
    told: list[dict[str, str]] = []
    for entry in reversed(entries):
        try:
            knob = knob_of(entry)
            found = knob.read()
        except NotFound:
            continue
        if not knob.same(entry.previous, found) and is_ours(entry, knob, found):
            told.append({"path": entry.key, "from": found, "to": entry.previous})
    return told


def _set(knob: Knob, value: str) -> None:
    knob.write(value)
    found = knob.read()
    if not knob.same(value, found):
        raise MlsError(f"{knob.key} was set to {value!r} but reads {found!r}")


def _intent(step: Step, known: Entry | None, policy: str, now: float) -> Entry:
    knob, to = step.change.knob, step.change.to
    entry = Entry(
        knob.key, step.before, (to,), step.change.asset, policy, now, lasting=knob.lasting, pending=knob.remembered
    )
    # What somebody else set meanwhile is what is to come back now.
    if known is None or not (is_ours(known, knob, step.before) or knob.same(known.previous, step.before)):
        return entry
    # Both the value that is there and the one to come may be found after a crash.
    return replace(entry, previous=known.previous, ours=(*known.ours[-1:], to))


def _at_first(change: Change, entry: Entry) -> bool:
    return change.knob.same(entry.previous, change.to)


def _roll_back(written: Sequence[Step]) -> dict[str, str]:
    """Put values back; returns the knobs that resist, and what they say."""
    stuck: dict[str, str] = {}
    for step in reversed(written):
        knob = step.change.knob
        found = step.change.to
        try:
            found = knob.read()
            if not knob.same(step.before, found):
                _set(knob, step.before)
        except NotFound:
            continue
        except MlsError as exc:
            _log.error("%s cannot be put back to %r: %s", knob.key, step.before, exc)
            stuck[knob.key] = found
    return stuck
