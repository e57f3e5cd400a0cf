"""Inventories: read by Ansible's own loader, validated as a whole, turned into a `Slice`."""

from __future__ import annotations

from mlsysops_cli.inventory.build import build_slice, load_slice
from mlsysops_cli.inventory.loader import RawInventory, load_inventory

__all__ = ["RawInventory", "build_slice", "load_inventory", "load_slice"]
