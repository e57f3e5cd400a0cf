"""Clusters that exist: the user's kubeconfigs read, their APIs checked, their nodes taken into the slice."""

from __future__ import annotations

from mlsysops_cli.existing.before import had_before
from mlsysops_cli.existing.kubeconfig import read_kubeconfig
from mlsysops_cli.existing.probe import Probed, probe_apis
from mlsysops_cli.existing.workers import extend_slice, node_facts

__all__ = ["Probed", "extend_slice", "had_before", "node_facts", "probe_apis", "read_kubeconfig"]
