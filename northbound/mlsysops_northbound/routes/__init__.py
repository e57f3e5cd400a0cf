"""The endpoints: version 1, and the paths that existing scripts call."""

from __future__ import annotations

from mlsysops_northbound.routes import apps, infra, legacy, manage, ml, probes

__all__ = ["apps", "infra", "legacy", "manage", "ml", "probes"]
