"""A node agent as a real process: starts without an API, refuses bad starts in one line, stops when told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import yaml

#: An address of this file alone, and one where nobody listens.
ADDRESS, NOBODY = "127.78.5.1", "127.78.5.2"


def config(tmp_path: Path, **changes: Any) -> Path:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": f"https://{NOBODY}:6443"}}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )
    value = {
        "tier": "node",
        "name": "w1",
        "slice": "test",
        "kubeconfig": str(kubeconfig),
        "state_dir": str(tmp_path / "state"),
        "telemetry": {"listen": {"address": ADDRESS, "port": 43170}, "upstream": f"http://{NOBODY}:43170"},
        **changes,
    }
    path = tmp_path / "agent.yaml"
    path.write_text(yaml.safe_dump(value))
    return path


@contextlib.asynccontextmanager
async def agent(path: Path, *, tier: str = "node", **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "mlsysops_agents",
        tier,
        "--config",
        str(path),
        env=dict(os.environ) | environment,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a condition of other processes
            await asyncio.sleep(0.05)


async def answers() -> None:
    """Return once the agent's receiver answers."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(30):
        while True:
            try:
                async with session.get(f"http://{ADDRESS}:43170/healthz") as response:
                    assert response.status == 200
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


async def test_lives_without_an_api_and_stops_cleanly(tmp_path: Path) -> None:
    async with agent(config(tmp_path)) as running:
        await answers()
        assert psutil.Process(running.pid).memory_info().rss < 90_000_000
        started = time.monotonic()
        running.send_signal(signal.SIGTERM)
        _, errors = await running.communicate()

    assert running.returncode == 0
    assert time.monotonic() - started < 5
    log = errors.decode()
    assert "Traceback" not in log
    assert "heartbeat mlsysops-node-w1 not renewed, trying again" in log
    assert "cannot follow mlsysopsnodes, trying again" in log
    assert all(line[:4].isdigit() for line in log.splitlines()), log


async def test_bad_starts_end_with_one_line_and_code_3(tmp_path: Path) -> None:
    async with agent(config(tmp_path)) as running:
        await answers()
        async with agent(config(tmp_path)) as second:
            _, errors = await second.communicate()
        assert second.returncode == 3
        assert f"telemetry cannot listen on {ADDRESS}:43170: the port is taken" in errors.decode()
        assert len(errors.decode().splitlines()) == 1
        assert running.returncode is None
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"colour": "red"}, "node", "colour"),
        ({}, "cluster", "tier"),
        ({"kubeconfig": str(tmp_path / "none")}, "node", "no such kubeconfig"),
        ({"state_dir": "/dev/null/state"}, "node", "state_dir /dev/null/state cannot be written"),
        ({"telemetry": {"listen": {"address": "192.0.2.1"}}}, "node", "cannot listen on 192.0.2.1:43170"),
    ]
    for changes, tier, says in cases:
        async with agent(config(tmp_path, **changes), tier=tier) as wrong:
            _, errors = await wrong.communicate()
        assert wrong.returncode == 3
        assert says in errors.decode()
        assert len(errors.decode().splitlines()) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is of Linux")
async def test_dies_with_its_supervisor(tmp_path: Path) -> None:
    path = config(tmp_path)
    script = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-m', 'mlsysops_agents', 'node', '--config', {str(path)!r}])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        env=dict(os.environ) | {"MLS_SUPERVISED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert supervisor.stdout is not None
    child = psutil.Process(int(await supervisor.stdout.readline()))
    try:
        await answers()
        supervisor.kill()
        await supervisor.communicate()
        await until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 5)
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


async def test_leaves_no_credentials_of_a_killed_predecessor(tmp_path: Path) -> None:
    left = tmp_path / "state" / "credentials" / "tmp-old-key"
    left.parent.mkdir(parents=True)
    left.write_text("secret")
    async with agent(config(tmp_path)):
        await answers()

    assert not left.exists()
    assert (tmp_path / "state" / "credentials").stat().st_mode & 0o077 == 0
