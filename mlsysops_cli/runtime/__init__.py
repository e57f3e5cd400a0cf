"""The environment that hosts over SSH run our processes in: built on this machine, so that hosts need no internet."""

from __future__ import annotations

from mlsysops_cli.runtime.build import Archive, build_archives
from mlsysops_cli.runtime.target import Target, common_targets

__all__ = ["Archive", "Target", "build_archives", "common_targets"]
