"""What `mls inventory` does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlsysops_cli.actions.framework.chosen import default_inventory
from mlsysops_cli.inventory import load_slice
from mlsysops_cli.output import emit_document, render_table
from mlsysops_cli.slice import SliceState, plan_layout, preview_addresses

if TYPE_CHECKING:
    from mlsysops_cli.settings import Settings
    from mlsysops_cli.slice import Host, Slice

__all__ = ["show", "validate"]


def validate(settings: Settings, inventory: str | None, vault: str | None) -> None:
    """Check an inventory.

    Raises:
        InvalidInput: With every fault.
    """
    path = default_inventory(settings, inventory)
    slice_ = load_slice(path, vault_password_file=vault)
    for warning in slice_.warnings:
        settings.note(f"warning: {warning}")
    counts = {
        "clusters": len(slice_.clusters),
        "hosts": len(slice_.hosts),
        "workers": sum(len(c.workers) for c in slice_.clusters),
        "far-edge devices": len(slice_.far_edge),
    }
    shown = ", ".join(f"{count} {noun.removesuffix('s') if count == 1 else noun}" for noun, count in counts.items())
    document = {
        "inventory": path,
        "slice": slice_.name,
        "engine": slice_.engine,
        **{noun.replace("-edge d", "EdgeD"): count for noun, count in counts.items()},
        "warnings": list(slice_.warnings),
    }
    text = f"{path}: valid: slice {slice_.name}, {slice_.engine} engine, {shown}\n"
    emit_document(settings, document, kind="slice", name="slice", text=text)


def show(settings: Settings, inventory: str | None, vault: str | None) -> None:
    """Show the slice that an inventory describes."""
    slice_ = load_slice(default_inventory(settings, inventory), vault_password_file=vault)
    state = SliceState.find(slice_.name)
    layout = plan_layout(slice_, preview_addresses(slice_, state.addresses if state else None))
    document: dict[str, Any] = slice_.model_dump(mode="json", exclude_none=True)
    for name, host in document["hosts"].items():
        host["address"] = layout.hosts[name].address
    emit_document(settings, document, kind="slice", text=_text(slice_, {n: h.address for n, h in layout.hosts.items()}))


def _text(slice_: Slice, addresses: dict[str, str]) -> str:
    rows = [
        [host.name, host.role, host.cluster, addresses[host.name], _reached(host)] for host in slice_.hosts.values()
    ]
    rows += [[d.name, "far-edge", d.cluster, d.address, f"behind {d.gateway}"] for d in slice_.far_edge]
    head = f"Slice {slice_.name}: continuum {slice_.continuum}, {slice_.engine} engine\n\n"
    return head + render_table(["HOST", "ROLE", "CLUSTER", "ADDRESS", "REACHED"], rows)


def _reached(host: Host) -> str:
    if not host.machine:
        return "api"
    return "local" if host.local else "ssh"
