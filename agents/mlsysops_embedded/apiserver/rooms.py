"""Starts what lives beside the API server in a control plane's process, and starts it again where it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from mlsysops_embedded.apiserver.local import LocalClient
from mlsysops_embedded.auth.tokens import TokenSigner
from mlsysops_embedded.config import ControlPlaneConfig

__all__ = ["run_rooms"]

_LOG: Final = logging.getLogger("embedded.rooms")
_FIRST_WAIT: Final = 1.0
_LONGEST_WAIT: Final = 30.0


async def _kept(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Runs a room for ever; one that fails waits a little longer each time."""
    wait = _FIRST_WAIT
    while True:
        try:
            await run()
            _LOG.warning("%s ended; it is started again", name)
        except Exception:  # noqa: BLE001 - the border between rooms: one that fails must not take the others along
            _LOG.exception("%s failed; it is started again in %.0f s", name, wait)
        await asyncio.sleep(wait)
        wait = min(wait * 2, _LONGEST_WAIT)


async def run_rooms(client: LocalClient, config: ControlPlaneConfig) -> None:
    """Runs controllers and, where configured, propagation; ends by cancellation."""
    from mlsysops_embedded.controllers import Settings, run_controllers

    authority = (config.pki_dir / "ca.crt").read_text("ascii")
    lease = config.lease
    settings = Settings(node_grace=lease.duration, root_ca=authority, sign=TokenSigner(config.pki_dir / "sa.key").sign)
    async with asyncio.TaskGroup() as group:
        workloads = not config.propagation.enabled
        group.create_task(_kept("controllers", lambda: run_controllers(client, settings=settings, workloads=workloads)))
        if config.propagation.enabled or config.member is not None:
            from mlsysops_embedded import propagation

            if config.propagation.enabled:
                group.create_task(
                    _kept("propagation", lambda: propagation.run_propagation(client, grace=lease.duration))
                )
            member = config.member
            if member is not None:
                joining = propagation.MemberSettings(renew=lease.renew, duration=lease.duration)
                group.create_task(
                    _kept(
                        "member agent",
                        lambda: propagation.run_member(client, member.cluster, member.kubeconfig, settings=joining),
                    )
                )
