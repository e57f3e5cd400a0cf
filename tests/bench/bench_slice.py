"""The local slice: how long until it is up, what it costs while it does nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from figure import Figure

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "e2e"))

from newcomer import Newcomer, wait_for  # noqa: E402 - found beside the end-to-end tests

#: How long the agents are watched doing nothing, in seconds.
IDLE = 30.0


def agents(person: Newcomer) -> list[psutil.Process]:
    """The processes of the agents."""
    found = []
    for pid in person.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if "mlsysops_agents" in process.cmdline():
                found.append(process)
    return found


def all_ready(person: Newcomer) -> bool:
    """Whether every agent reports Ready."""
    states = {agent["ready"] for agent in person.run("mls framework status -o json").json()["state"]["agents"]}
    return states == {True}


def running(person: Newcomer) -> bool:
    """Whether every component of the test application runs."""
    return bool(person.run("mls apps get-app-status test-application -o json").json()["phase"] == "Running")


def figures() -> Iterator[Figure]:
    """From an empty home to a slice and back."""
    with tempfile.TemporaryDirectory() as directory:
        person = Newcomer(Path(directory), REPOSITORY)
        try:
            start = time.perf_counter()
            person.run("mls framework deploy-all --inventory inventories/local.yml")
            wait_for("all agents ready", lambda: all_ready(person), timeout=120)
            yield Figure("deploy_all_first", time.perf_counter() - start, "s", 45)
            second = person.run("mls framework deploy-all --inventory inventories/local.yml")
            yield Figure("deploy_all_second", second.seconds, "s", 20)
            person.run("mls framework create-app-test-description")
            start = time.perf_counter()
            person.run("mls apps deploy-app --path mlsysops-app-test-description.yaml --wait")
            wait_for("application running", lambda: running(person), timeout=60)
            yield Figure("deploy_app_running", time.perf_counter() - start, "s", 5)
            person.run("mls apps remove-app test-application")
            processes = agents(person)
            before = {p.pid: sum(p.cpu_times()[:2]) for p in processes}
            began = time.perf_counter()
            time.sleep(IDLE)  # the figure is the CPU time over this span: nothing to wait for
            span = time.perf_counter() - began
            idle = {p: (sum(p.cpu_times()[:2]) - before[p.pid]) / span * 100 for p in processes}
            yield Figure("agent_idle_cpu", max(idle.values()), "% of a core", 2, note="largest of all agents")
            yield Figure(
                "agent_rss",
                max(p.memory_info().rss for p in processes) / 2**20,
                "MiB",
                90,
                note="largest of all agents",
            )
        finally:
            person.run("mls framework destroy-all --yes", expect=None)
            for pid in person.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
