"""A continuum above a real cluster, for tests of clusters that exist; what they need, and what is left when they end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import CONTINUUM, Clusters, Planes, remove_state_of_pods
from kube_karmada import FILES, PROGRAMS, Karmada, karmada_assets
from kube_real import CONTROLLERS, REQUIRED, absent, kubebuilder_assets
from newcomer import Newcomer, wait_for
from real_cluster import RealCluster, network_of_this_machine, snapshot
from test_existing import images

_MISSING = absent(kubebuilder_assets(), REQUIRED + CONTROLLERS)
#: Marks of tests that need a real cluster.
ON_REAL_CLUSTERS = [
    pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl in PATH"),
    pytest.mark.skipif(bool(_MISSING), reason=f"no {' and '.join(_MISSING)} where KUBEBUILDER_ASSETS says"),
    pytest.mark.skipif(os.geteuid() != 0, reason="its nodes have addresses, and pods state, that only root can give"),
    pytest.mark.timeout(1800),
]
NODES = ("node-a", "node-b")


class RealPlanes(Planes):
    """A continuum above a real cluster: the embedded engine, or a real Karmada."""

    def __init__(self, root: Path, continuum: str) -> None:
        for name in ("continuum", "member"):
            (root / name).mkdir()
        self.real = RealCluster(root / "member", NODES, images)
        self.above: Karmada | Clusters
        if continuum == "karmada":
            self.above = Karmada(root / "continuum", kubebuilder_assets(), karmada_assets(), "127.125.0.1")
        else:
            self.above = Clusters(root / "continuum", {}, block="127.125")

    def start(self) -> None:
        self.above.start()
        self.real.start()
        if isinstance(self.above, Karmada):
            self.above.join("member1", self.real.kubeconfig)
        else:
            for namespace in ("karmada-cluster", "karmada-es-member1"):
                self.kubectl(CONTINUUM, "create", "namespace", namespace, check=False)  # may be there already
            self.real.join("member1", self.kubeconfig(CONTINUUM))
        wait_for("member1 is ready", lambda: self.condition(CONTINUUM, "cluster", "member1"), timeout=120)

    def stop(self) -> None:
        self.real.stop()
        self.above.stop()

    def kubeconfig(self, name: str) -> Path:
        if name != CONTINUUM:
            return self.real.kubeconfig  # Karmada runs on its own member here, as it may
        return self.above.kubeconfig if isinstance(self.above, Karmada) else self.above.kubeconfig(name)

    def snapshot(self) -> dict[str, dict[str, Any]]:
        return {name: snapshot(lambda *words, name=name: self.kubectl(name, *words)) for name in (CONTINUUM, "member1")}


@contextlib.contextmanager
def running(root: Path, continuum: str) -> Iterator[RealPlanes]:
    """Keep a continuum of a kind (``engine``, ``karmada``) and a real cluster up; skip where it cannot be had."""
    if continuum == "karmada" and (missing := absent(karmada_assets(), PROGRAMS + FILES)):
        pytest.skip(f"no {', '.join(missing)} in {karmada_assets()} (set KARMADA_ASSETS)")
    with network_of_this_machine():
        made = RealPlanes(root, continuum)
        try:
            made.start()
            yield made
        finally:
            made.stop()


@contextlib.contextmanager
def somebody(home: Path) -> Iterator[Newcomer]:
    """Somebody with an empty home, of whom nothing is left in the end."""
    newcomer = Newcomer(home, Path(__file__).parents[2])
    try:
        yield newcomer
    finally:
        newcomer.run(
            "mls framework destroy-all --yes --remove-applications --purge --abandon", expect=None, timeout=600
        )
        for pid in newcomer.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        remove_state_of_pods("xpods")


def differences(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Names of objects that came, went or changed, by control plane."""
    return {
        name: [key for key in sorted({*before[name], *after[name]}) if before[name].get(key) != after[name].get(key)]
        for name in before
    }
