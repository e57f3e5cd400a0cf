"""Facts of a slice's hosts: gathered here for local hosts, remembered from the last gathering for the others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlsysops_cli.ansible_plugins.module_utils import mls_hardware
from mlsysops_cli.files import write_private
from mlsysops_cli.slice.state import slice_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlsysops_cli.slice.model import Slice

__all__ = ["cached_facts", "known_identities", "local_facts", "save_facts", "save_identities"]


def local_facts(slice_: Slice) -> dict[str, dict[str, Any]]:
    """Return the facts of the hosts that are this machine, by name."""
    local = [host.name for host in slice_.hosts.values() if host.local and host.machine]
    return dict.fromkeys(local, mls_hardware.collect()) if local else {}


def cached_facts(slice_: Slice) -> dict[str, dict[str, Any]]:
    """Return the facts that an earlier gathering left for the slice's hosts, by name."""
    path = slice_directory(slice_.name) / "facts.json"
    if not path.is_file():
        return {}
    facts: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return {name: value for name, value in facts.items() if name in slice_.hosts}


def save_facts(slice_: Slice, facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Remember facts; those of hosts that are not among them stay."""
    merged = {**cached_facts(slice_), **facts}
    write_private(slice_directory(slice_.name) / "facts.json", json.dumps(merged, indent=2, sort_keys=True) + "\n")


def known_identities(slice_: Slice) -> list[dict[str, str]]:
    """Return who the slice's hosts were when they were looked at last: what a host that joins them may not be."""
    return [facts["identity"] for facts in cached_facts(slice_).values() if facts.get("identity")]


def save_identities(slice_: Slice, checks: Mapping[str, Mapping[str, Any]]) -> None:
    """Remember who the hosts are, beside their facts; not of one that is somebody else already.

    Args:
        slice_: The slice.
        checks: What `preflight` found on each host that was looked at.
    """
    facts = cached_facts(slice_)
    for host, found in checks.items():
        unique = not any(one["check"] == "identity" for one in found["findings"])
        if host in facts and found.get("identity") and unique:
            facts[host]["identity"] = found["identity"]
    if checks:
        save_facts(slice_, facts)
