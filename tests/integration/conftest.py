"""A kubeconfig whose program for credentials does not come to an end: whoever reads kubeconfigs must survive it."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest


@pytest.fixture
async def endless_login(tmp_path: Path) -> AsyncIterator[Path]:
    """The kubeconfig; afterwards its program is waited for, of which the official client lets go.

    Only a loop that still runs closes what it had of it.
    """
    program = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sleep", "args": ["2"]}
    path = tmp_path / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": "https://127.122.0.1:9"}}],
                "users": [{"name": "u", "user": {"exec": program}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )
    yield path
    async with asyncio.timeout(60):
        while _programs():  # noqa: ASYNC110 - nobody tells when the last one is closed
            await asyncio.sleep(0.1)


def _programs() -> list[asyncio.SubprocessTransport]:
    """What the loop still has of programs: it closes that once they have ended and nothing of what they said is left."""
    return [
        one for one in gc.get_objects() if issubclass(type(one), asyncio.SubprocessTransport) and not one.is_closing()
    ]
