"""How a cluster joins a Karmada: what karmadactl says, in words of version 1.18, and what is made of it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import mls_karmada

#: Printed by `karmadactl register` where the cluster has an agent already; its status is 0.
TAKEN = """[preflight] Running pre-flight checks
error execution phase preflight: [preflight] Some fatal errors occurred:
\t[ERROR]: karmada-system/karmada-kubeconfig Secret already exists
\t[ERROR]: karmada-system/karmada-agent Deployment already exists

[preflight] Please check the above errors
"""


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Answer for karmadactl and kubectl; returns the calls."""
    calls: list[tuple[str, ...]] = []

    def run(*argv: str, timeout: float) -> Any:
        calls.append(argv)
        said = TAKEN if "register" in argv else ""
        return subprocess.CompletedProcess(argv, 0 if "register" in argv else 1, said, "not found")

    monkeypatch.setattr(mls_karmada, "run", run)
    return calls


def test_a_cluster_of_another_karmada_is_left_alone(tmp_path: Path, ran: list[tuple[str, ...]]) -> None:
    karmada = mls_karmada.Karmada("lab", str(tmp_path / "karmada"), str(tmp_path / "etcd"), "/host.config")
    for _ in range(2):  # the second attempt must not take what is there for a rest of the first
        with pytest.raises(
            mls_karmada.KarmadaError, match="agent Deployment already exists: another Karmada"
        ) as refused:
            karmada.register("edge", "10.0.0.1:5443", "id.secret", "sha256:x", "", 5)
        assert refused.value.family == "conflict"
        assert karmada.record() == {}
    assert not [argv for argv in ran if "delete" in argv]
