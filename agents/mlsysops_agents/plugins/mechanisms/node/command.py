"""Commands read and checked: unknown keys named with the nearest known one, and values against the range that the machine allows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from mlsysops_core.errors import Fault, InvalidInput
from pydantic import BaseModel, ConfigDict, ValidationError

__all__ = ["Command", "cpu_list", "format_cpus", "in_range", "one_of", "parse_cpus", "read_command"]

C = TypeVar("C", bound="Command")
_MAX_CPUS = 65536


class Command(BaseModel):
    """What every command of a node's mechanism may say.

    Attributes:
        command: ``set``, or ``reset`` to put back what was changed (of what the command names).
        dry_run: Change nothing, only tell what would change.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    command: Literal["set", "reset"] = "set"
    dry_run: bool = False


def read_command(model: type[C], command: Mapping[str, Any], mechanism: str) -> C:
    """Read a command.

    Raises:
        InvalidInput: It has an unknown key or a value of the wrong form; all faults are told.
    """
    try:
        return model.model_validate(dict(command))
    except ValidationError as exc:
        faults = [_fault(error, model) for error in exc.errors(include_url=False)]
        raise InvalidInput(f"{mechanism}: {'; '.join(map(str, faults))}", faults=faults) from exc


def _fault(error: Any, model: type[BaseModel]) -> Fault:
    path = ".".join(map(str, error["loc"]))
    if error["type"] != "extra_forbidden":
        return Fault(path=path, message=error["msg"].removeprefix("Value error, "))
    known = sorted(model.model_fields)
    near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
    return Fault(
        path=path, message="unknown key", hint=f"did you mean {near[0]}?" if near else f"keys: {', '.join(known)}"
    )


def in_range(value: float, low: float, high: float, what: str, unit: str = "") -> None:
    """Check a number.

    Raises:
        InvalidInput: It is out of range; the message names the range.
    """
    if not low <= value <= high:
        raise InvalidInput(f"{what}: {value:g}{unit} is out of range, {low:g} to {high:g}{unit} is allowed")


def one_of(value: str, allowed: Iterable[str], what: str) -> None:
    """Check a word.

    Raises:
        InvalidInput: It is not among those allowed; the message names them.
    """
    known = list(allowed)
    if value not in known:
        raise InvalidInput(f"{what}: {value!r} is not to be had, allowed: {', '.join(known) or 'none'}")


def parse_cpus(text: str) -> frozenset[int]:
    """Read a list of CPUs as the kernel writes it (``0-3,8``; Documentation/admin-guide/cputopology.rst).

    Raises:
        InvalidInput: It is none.
    """
    found: set[int] = set()
    for part in filter(None, (item.strip() for item in text.split(","))):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InvalidInput(f"{text!r} is no list of CPUs (write it like 0-3,8)")
        low, high = int(first), int(last or first)
        if low > high or high >= _MAX_CPUS:
            raise InvalidInput(f"{text!r} is no list of CPUs: {part} is no range")
        found.update(range(low, high + 1))
    return frozenset(found)


def cpu_list(value: str | int | Sequence[int]) -> frozenset[int]:
    """Read the CPUs of a command: a text, one number, or several.

    Raises:
        InvalidInput: It names none.
    """
    cpus = parse_cpus(value) if isinstance(value, str) else frozenset([value] if isinstance(value, int) else value)
    if not cpus:
        raise InvalidInput("no CPU is named")
    return cpus


def format_cpus(cpus: Iterable[int]) -> str:
    """Write a list of CPUs as the kernel does: ``0-3,8``."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and cpu == parts[-1][-1] + 1:
            parts[-1][1:] = [cpu]
        else:
            parts.append([cpu])
    return ",".join("-".join(map(str, part)) for part in parts)
