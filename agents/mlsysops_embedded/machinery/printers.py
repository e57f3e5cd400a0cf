"""Columns."""
from __future__ import annotations
from mlsysops_embedded.machinery.resources import Column
COLUMNS: dict[str, tuple[Column, ...]] = {}
