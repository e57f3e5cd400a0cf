"""How the northbound API gets at its continuum's credentials."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlsysops_core.errors import Unreachable
from mlsysops_northbound import kubernetes_store
from mlsysops_northbound.kubernetes_store import KubernetesStore
from mlsysops_northbound.store import CONFIG_MAPS


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the library lets go of the program it waited for
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_program_that_does_not_end_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_store, "_LOGIN_TIMEOUT", 0.5)
    program = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sleep", "args": ["10"]}
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
