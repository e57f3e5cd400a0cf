"""One agent as a process: what every tier needs around its loop, from the first signal handler to the last close."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import aiohttp
from mlsysops_core.contracts import AgentIdentity
from mlsysops_core.errors import InvalidInput, MlsError

from .adapters.health import VERSION
from .adapters.kubernetes import Heartbeat, KubernetesClient, KubernetesObjects, lease_name
from .adapters.telemetry import (
    CollectorHeaders,
    Forwarder,
    HttpPush,
    OtlpReceiver,
    TelemetryStore,
    export_traces,
    kept_windows,
)
from .config import AgentConfig

__all__ = ["Runtime", "TierRun", "configure_logging", "die_with_parent", "run_process", "tier_run"]

_log = logging.getLogger(__name__)

_DISTRIBUTION = "mlsysops-cli"
_STOP_SECONDS = 4.5
_PR_SET_PDEATHSIG = 1  # prctl(2)
_CREDENTIALS = "credentials"


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a tier is composed from.

    Attributes:
        config: The agent's configuration.
        objects: Its control plane.
        telemetry: Metrics that reach it.
        heartbeat: Its Lease.
    """

    config: AgentConfig
    objects: KubernetesObjects
    telemetry: TelemetryStore
    heartbeat: Heartbeat

    @property
    def identity(self) -> AgentIdentity:
        """Who the agent is."""
        return self.config.identity


#: ``run`` of a tier's ``agent`` module: composes the tier and works until it is cancelled.
TierRun = Callable[[Runtime], Awaitable[None]]


def configure_logging(level: str) -> None:
    """One line an event, in UTC, on stderr."""
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)


def die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the supervisor dies (prctl(2), ``PR_SET_PDEATHSIG``); Linux only."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        _log.warning("cannot tie this process to its supervisor: %s", os.strerror(ctypes.get_errno()))


def tier_run(tier: str) -> TierRun:
    """``run`` of a tier; only that tier is imported."""
    module = importlib.import_module(f"{__package__}.{tier}.agent")
    run: TierRun = module.run
    return run


async def run_process(config: AgentConfig, run: TierRun) -> None:
    """Run a tier until SIGTERM or SIGINT, then stop it within five seconds.

    Raises:
        InvalidInput: The kubeconfig or the listen address is unusable.
        Conflict: The telemetry port is taken.
        MlsError: The tier cannot work at all (an API that is away is no such reason).
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    work = asyncio.create_task(_work(config, run), name=f"{config.tier}-agent")
    stopping = asyncio.create_task(stop.wait(), name="signals")
    try:
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            _log.info("stopping")
            _end_at_the_latest(_STOP_SECONDS)
            work.cancel()
            await asyncio.wait({work})
        if not work.cancelled():
            _raise_cause(work.exception())
            raise MlsError(f"the {config.tier} agent ended by itself")
    finally:
        stopping.cancel()


def _end_at_the_latest(seconds: float) -> None:
    """End the process the hard way where a plug-in or a thread will not let it go; nothing unwritten is lost by it."""

    def end() -> None:
        _log.error("the agent did not stop within %.1f s, ending it", seconds)
        logging.shutdown()
        os._exit(MlsError.exit_code)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _raise_cause(error: BaseException | None) -> None:
    """Raise the one expected error inside nested groups as itself; a group of others as it is."""
    cause = error
    while isinstance(cause, BaseExceptionGroup) and len(cause.exceptions) == 1:
        cause = cause.exceptions[0]
    if cause is not None:
        raise cause


async def _work(config: AgentConfig, run: TierRun) -> None:
    identity = config.identity
    credentials = await asyncio.to_thread(_fresh_credentials, config.state_dir)
    telemetry = TelemetryStore(max_series=config.telemetry.max_series, max_points=config.telemetry.max_points)
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            await KubernetesClient.connect(config.kubeconfig, credentials_dir=credentials)
        )
        await stack.enter_async_context(kept_windows(config.state_dir / "windows.sqlite", telemetry))
        listen = config.telemetry.listen
        await stack.enter_async_context(
            OtlpReceiver(telemetry, address=listen.address, port=listen.port, defaults=_resource_defaults(config))
        )
        heartbeat = Heartbeat(
            client,
            lease_name(config.tier, config.name),
            config.framework_namespace,
            duration=config.lease.duration,
            renew=config.lease.renew,
            labels={
                "app.kubernetes.io/managed-by": "mlsysops",
                "mlsysops.eu/tier": config.tier,
                "mlsysops.eu/agent": config.name,
            },
            annotations={VERSION: version(_DISTRIBUTION)},
        )
        objects = await stack.enter_async_context(KubernetesObjects(client, identity))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        helpers = [tasks.create_task(heartbeat.run(), name="heartbeat")]
        if config.telemetry.upstream is not None:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            push = HttpPush(session, str(config.telemetry.upstream))
            forwarder = Forwarder(telemetry, push, interval=config.telemetry.interval)
            helpers.append(tasks.create_task(forwarder.run(), name="forwarder"))
        export = config.telemetry.export
        if export is not None:
            headers = await asyncio.to_thread(CollectorHeaders, export.headers_file)
            if export.traces:
                stack.enter_context(export_traces(str(export.endpoint), headers, _trace_resource(config)))
            if export.metrics:
                outside = await stack.enter_async_context(aiohttp.ClientSession(trust_env=True))
                collector = HttpPush(outside, str(export.endpoint), headers=headers)
                to_collector = Forwarder(telemetry, collector, interval=export.interval)
                helpers.append(tasks.create_task(to_collector.run(), name="export"))
        _log.info("%s agent %s of slice %s works with %s", config.tier, config.name, config.slice, client.server)
        try:
            await run(Runtime(config, objects, telemetry, heartbeat))
        finally:
            for helper in helpers:
                helper.cancel()


def _resource_defaults(config: AgentConfig) -> dict[str, str]:
    """Attributes that say where telemetry came in, for sources that do not say it themselves."""
    if config.tier == "node":
        return {"k8s.node.name": config.name}
    if config.tier == "cluster":
        return {"k8s.cluster.name": config.name}
    return {}


def _trace_resource(config: AgentConfig) -> dict[str, str]:
    """Attributes that say whose traces they are (OpenTelemetry semantic conventions, "Service")."""
    return {
        "service.name": f"mlsysops-{config.tier}-agent",
        "service.instance.id": config.name,
        "service.namespace": config.slice,
        "service.version": version("mlsysops-cli"),
        **_resource_defaults(config),
    }


def _fresh_credentials(state_dir: Path) -> Path:
    """A private directory for unpacked certificates, without what a killed predecessor left there."""
    path = state_dir / _CREDENTIALS
    try:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700, parents=True)
    except OSError as exc:
        raise InvalidInput(f"state_dir {state_dir} cannot be written: {exc.strerror or exc}") from exc
    return path
