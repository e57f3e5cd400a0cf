"""Policies of users in processes of their own, so that what they do wrong they do to themselves."""

from __future__ import annotations

from .policy import WorkerPolicy, load_in_worker
from .process import WorkerLimits, WorkerProcess

__all__ = ["WorkerLimits", "WorkerPolicy", "WorkerProcess", "load_in_worker"]
