"""What a policy says of itself: the context that `initialize()` returns, checked and typed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlsysops_core.contracts import Scope
from mlsysops_core.errors import MlsError

__all__ = ["Declaration", "PluginError", "parse_interval", "parse_priority"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_INTERVAL = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
#: Older policies of the MLSysOps framework call the scope of a whole agent "global".
_SCOPE_ALIASES = {"global": Scope.SYSTEM}
#: Characters of a wrong value that a message shows.
_LONGEST_SHOWN = 80


class PluginError(MlsError):
    """A plug-in that cannot be used; the message names the plug-in, where it is from, and what is wrong with it."""

    exit_code = 3
    code = "plugin"
    http_status = 422


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a policy asks for.

    Attributes:
        metrics: Telemetry metrics whose samples trigger an analysis.
        mechanisms: Mechanisms that its plans may command; empty means any.
        packages: Python packages it would like to have.
        analyze_interval: Longest time in seconds between two analyses of an asset; None where only events count, 0 where
            one analysis is enough.
        scope: What one analysis looks after.
        core: Whether its plans go before those of other policies.
        priority: Whose plans go first among core policies, and among the others; the higher number does.
        node_name: The only node it is meant for, where it names one.
        machine_learning: Whether it is off in heuristic mode.
    """

    metrics: tuple[str, ...] = ()
    mechanisms: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    analyze_interval: float | None = None
    scope: Scope = Scope.APPLICATION
    core: bool = False
    priority: float = 0.0
    node_name: str | None = None
    machine_learning: bool = False

    @classmethod
    def from_context(cls, context: Any, *, plugin: str) -> Declaration:
        """Read a context.

        Args:
            context: What `initialize()` returned.
            plugin: Name of the policy, for messages.

        Raises:
            PluginError: The context is no mapping or one of its values has the wrong form.
        """
        if not isinstance(context, Mapping):
            raise PluginError(f"policy {plugin}: initialize() must return a dict, not {type(context).__name__}")
        telemetry = _mapping(context, "telemetry", plugin)
        configuration = _mapping(context, "configuration", plugin)
        interval = configuration.get("analyze_interval")
        node_name = context.get("node_name")
        return cls(
            metrics=_names(telemetry.get("metrics"), "telemetry.metrics", plugin),
            mechanisms=_names(context.get("mechanisms"), "mechanisms", plugin),
            packages=_names(context.get("packages"), "packages", plugin),
            analyze_interval=None if interval is None else parse_interval(interval, plugin=plugin),
            scope=_scope(context.get("scope"), plugin),
            core=bool(context.get("core", False)),
            priority=parse_priority(context.get("priority", configuration.get("priority")), plugin=plugin),
            node_name=str(node_name) if node_name else None,
            machine_learning=bool(context.get("machine_learning_usage", False)),
        )


def parse_interval(value: Any, *, plugin: str = "") -> float:
    """Read a duration such as ``5s``, ``1.5m``, ``250ms`` or a number of seconds.

    Raises:
        PluginError: It is none of these.
    """
    seconds = _finite(value)
    if isinstance(value, str) and (match := _INTERVAL.fullmatch(value.strip())):
        seconds = _finite(float(match[1]) * _UNITS[match[2] or "s"])
    if seconds is not None and seconds >= 0:
        return seconds
    subject = f"policy {plugin}: " if plugin else ""
    raise PluginError(f"{subject}{_shown(value)} is no duration (write it like 5s, 10m, 1h or 1d)")


def parse_priority(value: Any, *, plugin: str) -> float:
    """Read a priority; 0 where none is given.

    Raises:
        PluginError: It is no finite number.
    """
    if value is None:
        return 0.0
    priority = _finite(value)
    if priority is None:
        raise PluginError(f"policy {plugin}: priority {_shown(value)} is no number")
    return priority


def _finite(value: Any) -> float | None:
    """Return a number as a float; None where it is none, or has no end."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def _mapping(context: Mapping[str, Any], key: str, plugin: str) -> Mapping[str, Any]:
    value = context.get(key) or {}
    if not isinstance(value, Mapping):
        raise PluginError(f"policy {plugin}: context {key!r} must be a dict, not {type(value).__name__}")
    return value


def _names(value: Any, key: str, plugin: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
        raise PluginError(f"policy {plugin}: context {key!r} must be a list of names")
    return tuple(item for item in value if item)


def _scope(value: Any, plugin: str) -> Scope:
    if value is None:
        return Scope.APPLICATION
    if isinstance(value, str) and value in _SCOPE_ALIASES:
        return _SCOPE_ALIASES[value]
    try:
        return Scope(value)
    except ValueError as exc:
        known = ", ".join(scope.value for scope in Scope)
        raise PluginError(f"policy {plugin}: scope {_shown(value)} is unknown (one of {known})") from exc
