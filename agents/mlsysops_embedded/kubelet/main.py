"""The kubelet's process: reads its configuration, runs until SIGTERM, and leaves its pods running when it goes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path

from mlsysops_core.errors import InvalidInput

from mlsysops_embedded.client import EventRecorder, HttpClient, Informer, WorkQueue, load_kubeconfig
from mlsysops_embedded.client.resources import ENDPOINT_SLICES, SERVICES
from mlsysops_embedded.config import ConfigError, load_config
from mlsysops_embedded.kubelet.cgroups import Cgroups
from mlsysops_embedded.kubelet.config import KubeletConfig, RuntimeConfig
from mlsysops_embedded.kubelet.fleet import run_fleet
from mlsysops_embedded.kubelet.manager import PodManager
from mlsysops_embedded.kubelet.node import NodeKeeper
from mlsysops_embedded.kubelet.server import KubeletServer, server_context
from mlsysops_embedded.kubelet.shared import Shared
from mlsysops_embedded.network.proxy import ServiceProxy

__all__ = ["main", "run_kubelet"]

_log = logging.getLogger(__name__)
_BAD_CONFIGURATION = 3


async def run_kubelet(config: KubeletConfig, runtime: RuntimeConfig) -> None:
    """Be a node until cancelled; pods outlive the cancellation.

    Raises:
        InvalidInput: The kubeconfig is unusable.
        OSError: Certificates are missing, or the port is taken.
    """
    connection = load_kubeconfig(config.kubeconfig)
    async with HttpClient(connection, user_agent=f"kubelet/{config.node}") as client:
        events = EventRecorder(client, "kubelet", config.node)
        address = str(config.address)
        shared = Shared(client, events, runtime, Cgroups(), WorkQueue(), address)
        shared.refresh_interval = config.refresh_interval
        services = Informer(client, SERVICES)
        slices = Informer(client, ENDPOINT_SLICES)
        manager = PodManager(shared, config.node, config.data_dir / "pods", config.pod_cidr, services)
        server = KubeletServer(manager, config.node, address, config.listen.port, server_context(config.pki_dir))
        await server.start()
        keeper = NodeKeeper(client, config, server.port)
        shared.allocatable.update(keeper.capacity)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(services.run())
                group.create_task(slices.run())
                group.create_task(keeper.run())
                group.create_task(manager.run())
                group.create_task(events.run())
                if config.proxy:
                    group.create_task(ServiceProxy(services, slices, config.node).run())
                if config.simulated_nodes:
                    group.create_task(run_fleet(client, config))
        finally:
            await server.stop()


async def _until_signal(config: KubeletConfig, runtime: RuntimeConfig) -> None:
    work = asyncio.create_task(run_kubelet(config, runtime))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work


def main(config_path: str | Path) -> int:
    """Run the kubelet; 0 after SIGTERM, 3 for a configuration that cannot work (one line on stderr)."""
    try:
        config = load_config(Path(config_path), KubeletConfig)
        runtime = load_config(config.runtime_config, RuntimeConfig) if config.runtime_config else RuntimeConfig()
        config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        asyncio.run(_until_signal(config, runtime))
    except (ConfigError, InvalidInput) as exc:
        sys.stderr.write(f"{exc}\n")
        return _BAD_CONFIGURATION
    except OSError as exc:
        sys.stderr.write(f"kubelet: {exc}\n")
        return _BAD_CONFIGURATION
    return 0
