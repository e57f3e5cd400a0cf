"""Finding, checking and loading of plug-ins: typed classes by entry point, plain module files by name."""

from __future__ import annotations

from .declaration import Declaration, PluginError, parse_interval
from .loader import LoadedMechanism, LoadedPolicy, load_mechanisms, load_policies
from .modules import ModuleMechanism, load_mechanism_file, load_policy_file

__all__ = [
    "Declaration",
    "LoadedMechanism",
    "LoadedPolicy",
    "ModuleMechanism",
    "PluginError",
    "load_mechanism_file",
    "load_mechanisms",
    "load_policies",
    "load_policy_file",
    "parse_interval",
]
