"""Finds a node for each pod that has none."""

from __future__ import annotations
