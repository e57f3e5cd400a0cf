"""How the northbound API gets at its continuum's credentials."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import psutil
import pytest
from mlsysops_core.errors import Unreachable
from mlsysops_northbound import kubernetes_store
from mlsysops_northbound.kubernetes_store import KubernetesStore
from mlsysops_northbound.store import CONFIG_MAPS


def names_of_children() -> list[str]:
    names = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            names.append(child.name())
    return names


async def test_a_program_that_does_not_end_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_store, "_LOGIN_TIMEOUT", 0.5)
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
    store = KubernetesStore(path, tmp_path / "scratch")
    with pytest.raises(Unreachable, match=r"its program for credentials gave none within 0\.5 s"):
        await store.get(CONFIG_MAPS, "a", "b")
    await store.close()
    # The library lets go of the program that it waited for, and only a loop that still runs closes what it had of it.
    async with asyncio.timeout(60):
        while "sleep" in names_of_children():  # noqa: ASYNC110 - nobody tells when a process ends
            await asyncio.sleep(0.1)
    await asyncio.sleep(0.1)
