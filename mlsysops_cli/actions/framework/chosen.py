"""Which slice of this machine, and which inventory, a command means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import NotFound

from mlsysops_cli.ansible_plugins.module_utils.mls_supervisor import Supervisor
from mlsysops_cli.assets import asset
from mlsysops_cli.context import current_context_name
from mlsysops_cli.slice import SliceState, known_slices, slice_directory

if TYPE_CHECKING:
    from mlsysops_cli.settings import Settings

__all__ = ["chosen_slice", "default_inventory", "plan_of", "supervisor_of"]


def chosen_slice(settings: Settings, name: str | None = None) -> SliceState:
    """Return the slice that is named, or in use, or the only one there is.

    Raises:
        NotFound: There is none, or more than one and none is in use.
    """
    wanted = name or settings.context or current_context_name()
    known = known_slices()
    if wanted is None and len(known) == 1:
        wanted = known[0]
    if wanted is None:
        if known:
            raise NotFound("no slice is in use", hint=f"name one with --slice: {', '.join(known)}")
        raise NotFound("no slice was deployed from this machine", hint="run `mls framework deploy-all` first")
    return SliceState.load(wanted)


def default_inventory(settings: Settings, given: str | None) -> str:
    """Return the inventory to use: the one given, that of the slice in use, or the one-machine slice we ship."""
    if given:
        return given
    name = settings.context
    if name is None:
        name = current_context_name()
    state = SliceState.find(name) if name else None
    if state and state.inventory and Path(state.inventory).exists():
        return state.inventory
    shipped = str(asset("inventories", "local.yml"))
    settings.note(f"no --inventory: using {shipped}")
    return shipped


def plan_of(state: SliceState) -> dict[str, Any]:
    """Return the deployment plan of a slice; empty where its deployment never came so far."""
    path = slice_directory(state.name) / "plan.json"
    if not path.is_file():
        return {}
    plan: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["mls_plan"]
    return plan


def supervisor_of(state: SliceState) -> Supervisor:
    """Return the supervisor of a slice's processes on this machine."""
    return Supervisor(str(slice_directory(state.name) / "supervisor"), state.name)
