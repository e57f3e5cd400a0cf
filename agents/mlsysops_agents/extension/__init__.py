"""What people send to running agents, and how it comes into force: policies, settings, mode, targets."""

from __future__ import annotations

from .compose import make_extensions
from .concerns import Concerns
from .decisions import Decisions
from .mechanisms import Mechanisms
from .policies import PolicyManager
from .settings import SliceSettings, TargetedInputs, read_settings
from .trust import Trust

__all__ = [
    "Concerns",
    "Decisions",
    "Mechanisms",
    "PolicyManager",
    "SliceSettings",
    "TargetedInputs",
    "Trust",
    "make_extensions",
    "read_settings",
]
