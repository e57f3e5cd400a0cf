"""Settings of the whole slice, from the ConfigMap ``mlsysops-settings`` that every agent sees, also one that was offline."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlsysops_core.plugins import LoadedPolicy

from mlsysops_agents.loop import Inputs

from .trust import Trust

__all__ = ["SETTINGS", "SliceSettings", "TargetedInputs", "read_settings"]

_log = logging.getLogger(__name__)

SETTINGS = "mlsysops-settings"
_SYSTEM = "system/"


@dataclass(frozen=True, slots=True)
class SliceSettings:
    """What counts for the whole slice.

    Attributes:
        machine_learning: Whether policies that use it decide.
        targets: Targets of the whole slice, each with ``metric``, ``relation`` and ``target``.
        trust: Which policies may run.
    """

    machine_learning: bool = False
    targets: tuple[Mapping[str, Any], ...] = ()
    trust: Trust = field(default_factory=lambda: Trust("slice"))

    @property
    def mode(self) -> str:
        """Name of the mode."""
        return "ml" if self.machine_learning else "heuristic"


def read_settings(data: Mapping[str, str] | None) -> SliceSettings:
    """Read the ConfigMap's data; what cannot be understood counts as not set, but a broken list of digests or signers allows none."""
    data = data or {}
    targets: Sequence[Any] = ()
    try:
        targets = [item for item in json.loads(data.get("system-targets") or "[]") if isinstance(item, Mapping)]
    except (ValueError, TypeError) as exc:
        _log.warning("ConfigMap %s: system-targets is not understood: %s", SETTINGS, exc)
    digests = data["policy-digests"].replace(",", " ").split() if "policy-digests" in data else None
    signers = None
    if "policy-signers" in data:
        lines = map(str.strip, data["policy-signers"].splitlines())
        signers = [line for line in lines if line and not line.startswith("#")]
    trust = Trust.read("slice", digests, signers)
    return SliceSettings(data.get("mode") == "1", tuple(dict(item) for item in targets), trust)


class TargetedInputs:
    """The loop's `Inputs`, with the slice's mode and targets in the description that policies of system scope see.

    Args:
        inputs: What a tier shows.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self.settings = SliceSettings()

    def application_description(self, asset: str) -> list[dict[str, Any]]:
        """As the tier."""
        return self._inputs.application_description(asset)

    def system_description(self, asset: str) -> dict[str, Any]:
        """As the tier; for a system asset with ``system: {mode, targets}``."""
        described = self._inputs.system_description(asset)
        if not asset.startswith(_SYSTEM):
            return described
        targets = [dict(item) for item in self.settings.targets]
        return {**described, "system": {"mode": self.settings.mode, "targets": targets}}

    def telemetry(self, policy: LoadedPolicy, asset: str) -> dict[str, Any]:
        """As the tier."""
        return self._inputs.telemetry(policy, asset)

    def ml_connector(self) -> Any:
        """As the tier."""
        return self._inputs.ml_connector()

    def snapshot(self, asset: str, metrics: Sequence[str] = ()) -> dict[str, Any]:
        """As the tier, and the targets for a system asset."""
        seen = self._inputs.snapshot(asset, metrics)
        if asset.startswith(_SYSTEM) and self.settings.targets:
            return {**seen, "targets": [dict(item) for item in self.settings.targets]}
        return seen
