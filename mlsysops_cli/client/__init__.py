"""Talks to the northbound API of a slice."""

from __future__ import annotations

from mlsysops_cli.client.address import Target, resolve
from mlsysops_cli.client.http import Northbound

__all__ = ["Northbound", "Target", "resolve"]
