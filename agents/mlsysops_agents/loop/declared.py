"""Whether a policy commands only the mechanisms that it declared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mlsysops_core.contracts import Mechanism
from mlsysops_core.plugins import LoadedPolicy
from mlsysops_core.plugins.aliases import Alias

__all__ = ["undeclared"]

#: One mechanism of the MLSysOps framework on two tiers: its policies that change components declare the name of the node's
#: side, ``fluidity_proxy``, also where they run on a cluster and command ``fluidity``.
_COUNTERPARTS = {"fluidity_proxy": "fluidity", "fluidity": "fluidity_proxy"}


def undeclared(policy: LoadedPolicy, commands: Iterable[str], mechanisms: Mapping[str, Mechanism]) -> str:
    """Say why a plan goes beyond what its policy declared; empty where it does not.

    A policy that declares no mechanisms may command any. A mechanism has all of its names: declaring one allows the others.

    Args:
        policy: Whose plan it is.
        commands: Names of the mechanisms commanded.
        mechanisms: The agent's mechanisms by name.
    """
    declared = policy.declaration.mechanisms
    if not declared:
        return ""
    names = {*declared, *(_COUNTERPARTS[name] for name in declared if name in _COUNTERPARTS)}
    allowed = [_original(mechanisms[name]) for name in names if name in mechanisms]
    others = [
        name
        for name in commands
        if name not in names and not any(_original(mechanisms.get(name)) is item for item in allowed)
    ]
    if not others:
        return ""
    return f"UndeclaredMechanism: the plan commands {', '.join(others)}; the policy declares {', '.join(declared)} only"


def _original(mechanism: Mechanism | None) -> Mechanism | None:
    return mechanism.original if isinstance(mechanism, Alias) else mechanism
