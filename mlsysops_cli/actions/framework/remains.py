"""What of a slice stays on a host that cannot be asked to remove it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["left_behind"]

_PARTS = ("controlplane", "kubelet", "agents", "northbound")


def left_behind(part: Mapping[str, Any]) -> list[str]:
    """Return the units, processes, files and directories of ours that a host has, for a person who removes them by hand.

    Args:
        part: The host's part of the deployment plan.
    """
    programs = [program["name"] for key in _PARTS for program in (part.get(key) or {}).get("programs", [])]
    if part["local"]:
        return [*(f"process {name}" for name in programs), *part["remove"]["paths"]]
    units = [f"unit mls-{part['supervisor']['slice']}-{name}" for name in programs]
    if "k3s" in part:
        unit = "k3s-agent" if part["role"] == "worker" else "k3s"
        files = [one["path"] for one in part["artifacts"]]
        karmada = ["/etc/karmada", "/var/lib/karmada-etcd"] if part["role"] == "management" else []
        files += ["/etc/rancher", "/var/lib/rancher/k3s", *karmada]
        return [*units, f"unit {unit}", *files, *part["remove"]["paths"]]
    return [*units, *part["remove"]["paths"]]
