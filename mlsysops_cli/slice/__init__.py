"""A slice: what an inventory describes, and the state that its deployment keeps on this machine."""

from __future__ import annotations

from mlsysops_cli.slice.addresses import Addresses, held_addresses, preview_addresses, release_addresses
from mlsysops_cli.slice.applied import AppliedObjects
from mlsysops_cli.slice.layout import HostLayout, SliceLayout, plan_layout
from mlsysops_cli.slice.model import Cluster, FarEdgeDevice, Host, Role, Slice
from mlsysops_cli.slice.state import SliceState, known_slices, locked, slice_directory, slices_root

__all__ = [
    "Addresses",
    "AppliedObjects",
    "Cluster",
    "FarEdgeDevice",
    "Host",
    "HostLayout",
    "Role",
    "Slice",
    "SliceLayout",
    "SliceState",
    "held_addresses",
    "known_slices",
    "locked",
    "plan_layout",
    "preview_addresses",
    "release_addresses",
    "slice_directory",
    "slices_root",
]
