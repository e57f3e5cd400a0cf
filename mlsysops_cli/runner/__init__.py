"""Runs playbooks through ansible-runner: plays in, progress and results out."""

from __future__ import annotations

from mlsysops_cli.runner.events import Failure, HostResult, RunResult, by_host
from mlsysops_cli.runner.progress import PlainProgress, Progress, RichProgress, SilentProgress, choose_progress
from mlsysops_cli.runner.run import PlaybookRun, load_runner, run_playbook

__all__ = [
    "Failure",
    "HostResult",
    "PlainProgress",
    "PlaybookRun",
    "Progress",
    "RichProgress",
    "RunResult",
    "SilentProgress",
    "by_host",
    "choose_progress",
    "load_runner",
    "run_playbook",
]
