"""The shared kernel: descriptions, contracts, errors, quantities. Import the submodule you need.

Nothing is imported here, so that ``import mlsysops_core.errors`` costs neither pydantic nor PyYAML.
"""

from __future__ import annotations

__all__: list[str] = []
