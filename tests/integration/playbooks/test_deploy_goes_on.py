"""A host that breaks or dies while a slice is deployed does not keep the others from getting their parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Runner

SLICE = {"mg": "management", "s1": "server", "w1": "worker"}
K3S = {"mg": "management", "s1": "server", "s2": "server", "s3": "server", "s4": "server", "w1": "worker"}


def test_the_others_go_on_without_the_only_worker(run: Runner) -> None:
    ran = run("site.yml", SLICE, cut=["w1 node_embedded main"], broken=["mg northbound main"])
    assert ran.did("mg agents main", "s1 agents main", "s1 Write credentials")
    assert "w1 agents main" not in ran.done
    assert "mg Write credentials" not in ran.done
    assert [(failure.host, failure.family) for failure in ran.result.failures] == [("w1", "unreachable"), ("mg", "")]


def test_one_bad_server_of_k3s_keeps_nothing_from_the_others(run: Runner) -> None:
    broken = ["s2 k3s_server main", "w1 k3s_agent main", "mg karmada main"]
    ran = run("site.yml", K3S, engine="k3s", broken=broken, cut=["s3 k3s_server main"])
    assert ran.did("s4 k3s_server main", "s1 kubernetes_objects main")
    assert "s1 karmada member" not in ran.done
    assert {failure.host for failure in ran.result.failures} == {"s2", "s3", "w1", "mg"}
    error = ran.result.error()
    assert error is not None
    assert (error.exit_code, error.message) == (9, "4 of 6 hosts failed")
    assert ran.result.returncode != 0


def test_clusters_that_exist_get_their_objects_without_the_only_host(run: Runner) -> None:
    ran = run("site.yml", SLICE, engine="existing", broken=["w1 preflight main"])
    assert ran.did(*(f"{host} kubernetes_objects main" for host in ("mg", "s1")))
