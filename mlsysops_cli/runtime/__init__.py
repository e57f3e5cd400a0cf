"""The environment that hosts over SSH run our processes in: built on this machine, so that hosts need no internet."""

from __future__ import annotations

from mlsysops_cli.runtime.build import Archive, build_archives, foresee, lacking
from mlsysops_cli.runtime.target import Target, common_targets
from mlsysops_cli.runtime.wheelhouse import WheelsMissing

__all__ = ["Archive", "Target", "WheelsMissing", "build_archives", "common_targets", "foresee", "lacking"]
