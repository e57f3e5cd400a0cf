"""Probes: exec, httpGet and tcpSocket, and the counting of their successes and failures."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

from mlsysops_embedded.release import MINOR

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlsysops_embedded.client import Object
    from mlsysops_embedded.kubelet.identity import Identity

__all__ = ["Target", "Threshold", "act", "watch"]

_BODY = 10 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """Where a container's probes and hooks act.

    Attributes:
        address: podIP.
        ports: Named container ports.
        env: Environment of exec actions.
        cwd: Their working directory.
        identity: Who they run as; None is the kubelet's user.
    """

    address: str
    ports: Mapping[str, int]
    env: Mapping[str, str]
    cwd: str
    identity: Identity | None = None

    def port(self, value: int | str) -> int:
        """A port by number or name; raises ValueError."""
        if isinstance(value, str) and value in self.ports:
            return self.ports[value]
        return int(value)


async def act(action: Object, target: Target, timeout: float) -> tuple[bool, str]:
    """Do one action; (success, what went wrong)."""
    try:
        async with asyncio.timeout(timeout):
            if "exec" in action:
                return await _exec(action["exec"].get("command") or [], target)
            if "httpGet" in action:
                return await _http(action["httpGet"], target)
            if "tcpSocket" in action:
                tcp = action["tcpSocket"]
                port = target.port(tcp["port"])
                _, writer = await asyncio.open_connection(tcp.get("host") or target.address, port)
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
                return True, ""
            if "sleep" in action:
                await asyncio.sleep(action["sleep"]["seconds"])
                return True, ""
            return False, f"action {', '.join(action)} is not supported by this runtime"
    except TimeoutError:
        return False, f"timed out after {timeout:g} s"
    except (OSError, ValueError, aiohttp.ClientError) as exc:
        return False, str(exc) or type(exc).__name__


async def _exec(command: list[str], target: Target) -> tuple[bool, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(target.env),
        cwd=target.cwd,
        start_new_session=True,
        **(target.identity.options if target.identity else {}),
    )
    try:
        assert process.stdout is not None  # noqa: S101 - asked for above
        output = await process.stdout.read(_BODY)
        while await process.stdout.read(_BODY):
            pass
        code = await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    text = output.decode("utf-8", "replace").strip()
    return code == 0, text or f"command exited with {code}"


async def _http(action: Object, target: Target) -> tuple[bool, str]:
    scheme = (action.get("scheme") or "HTTP").lower()
    host = action.get("host") or target.address
    path = "/" + (action.get("path") or "/").lstrip("/")
    headers = {"User-Agent": f"kube-probe/1.{MINOR}", "Accept": "*/*"}
    headers.update({h["name"]: h["value"] for h in action.get("httpHeaders") or ()})
    url = f"{scheme}://{host}:{target.port(action['port'])}{path}"
    # As the kubelet: certificates are not checked, redirects to the same host are followed.
    connector = aiohttp.TCPConnector(ssl=False, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session, session.get(url, headers=headers) as response:
        await response.content.read(_BODY)
        return 200 <= response.status < 400, f"HTTP probe failed with statuscode: {response.status}"


@dataclass(slots=True)
class Threshold:
    """Turns single results into a verdict by ``successThreshold`` and ``failureThreshold``."""

    success: int
    failure: int
    verdict: bool | None = None
    _streak: int = field(default=0)
    _last: bool | None = field(default=None)

    def feed(self, result: bool) -> bool:
        """Take one result; True where the verdict is (again) reached by it."""
        self._streak = self._streak + 1 if result == self._last else 1
        self._last = result
        if self._streak >= (self.success if result else self.failure):
            changed = self.verdict is not result
            self.verdict = result
            return changed or not result
        return False


async def watch(probe: Object, target: Target, report: Callable[[bool, str], None]) -> None:
    """Probe for ever, reporting each verdict that thresholds let through (failures also when they repeat)."""
    threshold = Threshold(int(probe.get("successThreshold") or 1), int(probe.get("failureThreshold") or 3))
    await asyncio.sleep(float(probe.get("initialDelaySeconds") or 0))
    period = float(probe.get("periodSeconds") or 10)
    while True:
        result, message = await act(probe, target, float(probe.get("timeoutSeconds") or 1))
        if threshold.feed(result):
            report(result, message)
        await asyncio.sleep(period)
