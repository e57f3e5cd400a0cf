"""Tries a policy in a process of its own, so that one that blocks, leaks or ends it does no harm here."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from mlsysops_core.plugins import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlsysops_core.plugins.replay import Scenario

__all__ = ["rehearse"]

#: What a worker of an agent may use (``worker.memory`` and ``worker.cpu_seconds`` of its configuration).
_MEMORY = 2**30
_CPU_SECONDS = 30.0
_CHUNK = 65536
_ANSWER_SECONDS = 5.0


def rehearse(path: Path, scenario: Scenario, *, timeout: float) -> tuple[str, list[dict[str, Any]]]:
    """Run a policy through a scenario.

    Args:
        path: The policy's file.
        scenario: What it is shown.
        timeout: Seconds that one turn may take.

    Returns:
        The policy's name, and its turns; the last one is an error where the policy hung or its process ended.

    Raises:
        PluginError: The policy cannot be loaded, or hangs or ends its process while it is.
    """
    turns: list[dict[str, Any]] = []
    begun: dict[str, Any] = {}
    name = path.stem.removeprefix("policy-")
    with _process(path, scenario) as (process, answers):
        why = ""
        for message in _messages(answers, timeout):
            if message is None:
                why = f"did not end within {timeout:g} s"
                break
            if "fault" in message:
                raise PluginError(message["fault"])
            if "name" in message:
                return message["name"], turns
            if "begun" in message:
                begun = message["begun"]
            else:
                turns.append(message["turn"])
        why = why or _epitaph(process)
    if not begun or begun["trigger"] == "initialize":
        raise PluginError(f"policy {name}: loading it {why}")
    return name, [*turns, {**begun, "message": f"the turn {why}; the rest of the scenario is left out"}]


@contextlib.contextmanager
def _process(path: Path, scenario: Scenario) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    answers, theirs = os.pipe()
    command = [sys.executable, "-P", "-m", "mlsysops_core.plugins.rehearsal", "--answers", str(theirs)]
    command += ["--parent", str(os.getpid()), "--memory", str(_MEMORY), "--cpu", str(_CPU_SECONDS)]
    try:
        with tempfile.TemporaryFile() as given:
            pickle.dump((str(path.absolute()), scenario), given)
            given.seek(0)
            # What the policy prints is no result of ours: it goes where all that is not goes.
            process = subprocess.Popen(command, stdin=given, stdout=2, pass_fds=(theirs,), start_new_session=True)
    finally:
        os.close(theirs)
    try:
        yield process, answers
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(answers)


def _messages(answers: int, timeout: float) -> Iterator[dict[str, Any] | None]:
    """Yield what the process tells; None where it tells nothing for too long. Ends when the process does."""
    data = b""
    with selectors.DefaultSelector() as selector:
        selector.register(answers, selectors.EVENT_READ)
        end = time.monotonic() + timeout + _ANSWER_SECONDS  # it has to start first
        while True:
            if not selector.select(max(0.0, end - time.monotonic())):
                yield None
                return
            chunk = os.read(answers, _CHUNK)
            if not chunk:
                return
            *lines, data = (data + chunk).split(b"\n")
            for line in lines:
                yield json.loads(line)
                end = time.monotonic() + timeout


def _epitaph(process: subprocess.Popen[bytes]) -> str:
    """Say why a process that told no more ended."""
    try:
        code = process.wait(_ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        return "closed its connection"
    if code == -signal.SIGXCPU:
        return f"used more than {_CPU_SECONDS:g} s of processor time"
    return f"ended its process with {signal.Signals(-code).name if code < 0 else f'code {code}'}"
