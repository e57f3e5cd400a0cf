"""The command that placement mechanisms take, read and checked once.

``{"name": app, "deployment_plan": {"initial_plan": bool, component: [action, …]}}`` with the actions ``deploy`` (``host``),
``move`` (``src_host``, ``target_host``), ``remove`` (``host``), ``change_spec`` (``new_spec``, ``host``) and, for a component in
another cluster, ``connect``: its Service here leads to where it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from mlsysops_core.errors import InvalidInput

__all__ = ["Action", "Command", "is_idle", "read_command"]

Verb = Literal["deploy", "move", "remove", "change_spec", "connect"]
_VERBS = get_args(Verb)


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do with one component.

    Attributes:
        component: The component.
        verb: What to do.
        host: Where it is to be afterwards; for ``remove`` where it is now, if known.
        source: Where a ``move`` starts, if known.
        new_spec: The component's new specification, for ``change_spec``.
    """

    component: str
    verb: Verb
    host: str | None
    source: str | None = None
    new_spec: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Command:
    """All that is to be done with one application."""

    application: str
    initial: bool
    actions: tuple[Action, ...]


def is_idle(command: Mapping[str, Any]) -> bool:
    """Say whether a command does nothing with any component: policies of the MLSysOps framework say "no change" so, without a name."""
    plan = command.get("deployment_plan")
    return isinstance(plan, Mapping) and not any(given for name, given in plan.items() if name != "initial_plan")


def read_command(command: Mapping[str, Any]) -> Command:
    """Read a command.

    Raises:
        InvalidInput: It is no command of this form.
    """
    name = command.get("name")
    plan = command.get("deployment_plan")
    if not isinstance(name, str) or not isinstance(plan, Mapping):
        raise InvalidInput("a command needs the application's 'name' and a 'deployment_plan'")
    actions: list[Action] = []
    for component, given in plan.items():
        if component == "initial_plan":
            continue
        # One action alone is taken for a list of one.
        several = [given] if isinstance(given, Mapping) else given or ()
        actions.extend(_action(str(component), item) for item in several)
    return Command(name, bool(plan.get("initial_plan")), tuple(actions))


def _action(component: str, given: Any) -> Action:
    if not isinstance(given, Mapping) or given.get("action") not in _VERBS:
        raise InvalidInput(f"component {component}: {given!r} is no action (one of {', '.join(_VERBS)})")
    verb: Verb = given["action"]
    if verb == "move":
        host, source = given.get("target_host"), given.get("src_host")
    else:
        host, source = given.get("host"), None
    if verb in {"deploy", "move"} and not isinstance(host, str):
        raise InvalidInput(f"component {component}: {verb} needs a host")
    new_spec = given.get("new_spec") or {}
    if verb == "change_spec" and not isinstance(new_spec, Mapping):
        raise InvalidInput(f"component {component}: new_spec must be a mapping")
    return Action(
        component,
        verb,
        str(host) if host is not None else None,
        str(source) if source is not None else None,
        new_spec,
    )
