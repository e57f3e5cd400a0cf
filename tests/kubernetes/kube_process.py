"""Programs that tests start: on loopback addresses of their own, with their output in a file."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
from kube_api import Api

#: A part of 127/8 that no slice uses, so that tests and a developer's slice live side by side.
ADDRESS = "127.121.0.1"


def free_port(address: str = ADDRESS) -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def _environment() -> dict[str, str]:
    # MLS_SUPERVISED: the process ends with the test run, however that ends.
    return {**os.environ, "MLS_SUPERVISED": "1", "LC_ALL": "C.UTF-8"}


class Process:
    """A program that runs in the background with its output in a file.

    Args:
        argv: Program and arguments.
        log: Where its output goes.
        foreign: Whether the program is not ours and has to be made to end with the test run.
    """

    def __init__(self, argv: list[str], log: Path, *, foreign: bool = False) -> None:
        self.log = log
        if foreign and (setpriv := shutil.which("setpriv")):
            argv = [setpriv, "--pdeathsig", "KILL", *argv]
        with log.open("ab") as output:
            self.popen = subprocess.Popen(argv, stdout=output, stderr=output, env=_environment())

    def running(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def kill(self) -> None:
        """SIGKILL."""
        self.popen.kill()
        self.popen.wait()

    def stop(self, timeout: float = 10) -> int:
        """SIGTERM; the exit code. What does not end in time is killed and counts as failed."""
        self.popen.send_signal(signal.SIGTERM)
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL

    def tail(self) -> str:
        """The end of its output."""
        return self.log.read_text(errors="replace")[-4000:]


def await_ready(process: Process, url: str, ca_file: Path, timeout: float = 60, health: str = "/readyz") -> float:
    """Wait until the health endpoint says ok.

    Returns:
        Seconds it took.
    """
    start = time.perf_counter()
    probe = Api(url, ca_file)
    try:
        while time.perf_counter() - start < timeout:
            if not process.running():
                raise AssertionError(f"ended with {process.popen.returncode}:\n{process.tail()}")
            try:
                if probe.get(health).status_code == 200:
                    return time.perf_counter() - start
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(0.02)
    finally:
        probe.close()
    raise AssertionError(f"not ready in {timeout:g} s:\n{process.tail()}")
