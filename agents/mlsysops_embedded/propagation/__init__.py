"""Propagation between control planes in Karmada's sense: policies, bindings, Works, members."""

from __future__ import annotations

from mlsysops_embedded.propagation.crds import karmada_crds
from mlsysops_embedded.propagation.federation import MemberSettings, run_member, run_propagation

__all__ = ["MemberSettings", "karmada_crds", "run_member", "run_propagation"]
