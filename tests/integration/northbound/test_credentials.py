"""How the northbound API gets at its continuum's credentials."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlsysops_core.errors import Unreachable
from mlsysops_northbound import kubernetes_store
from mlsysops_northbound.kubernetes_store import KubernetesStore
from mlsysops_northbound.store import CONFIG_MAPS


async def test_a_program_that_does_not_end_is_one_line(
    endless_login: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes_store, "_LOGIN_TIMEOUT", 0.5)
    store = KubernetesStore(endless_login, tmp_path / "scratch")
    with pytest.raises(Unreachable, match=r"its program for credentials gave none within 0\.5 s"):
        await store.get(CONFIG_MAPS, "a", "b")
    await store.close()
