"""What people send to running agents, and how it comes into force: policies, settings, mode, targets."""

from __future__ import annotations

from .policies import PolicyManager
from .settings import SliceSettings, TargetedInputs, read_settings

__all__ = ["PolicyManager", "SliceSettings", "TargetedInputs", "read_settings"]
