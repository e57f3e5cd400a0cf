"""What the endpoints do, without HTTP: agents, applications, infrastructure, the slice."""

from __future__ import annotations

from mlsysops_northbound.services.agents import Agents
from mlsysops_northbound.services.applications import Applications
from mlsysops_northbound.services.infrastructure import Infrastructure
from mlsysops_northbound.services.slice import SliceService

__all__ = ["Agents", "Applications", "Infrastructure", "SliceService"]
