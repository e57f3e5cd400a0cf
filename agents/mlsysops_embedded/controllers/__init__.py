"""The controllers that turn wishes into pods: workloads, endpoints, namespaces, garbage, nodes."""

from __future__ import annotations

from mlsysops_embedded.controllers.context import Settings
from mlsysops_embedded.controllers.manager import run_controllers

__all__ = ["Settings", "run_controllers"]
