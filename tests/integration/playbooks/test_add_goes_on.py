"""A newcomer that breaks or dies does not keep the others from joining."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Runner

K3S = {"mg": "management", "s1": "server", "s2": "server", "s3": "server", "s4": "server", "w1": "worker"}


def test_bad_servers_of_k3s_keep_nothing_from_the_others(run: Runner) -> None:
    broken, cut = ["s2 k3s_server main"], ["s3 k3s_server main"]
    ran = run("add_nodes.yml", K3S, engine="k3s", broken=broken, cut=cut, mls_nodes=["s2", "s3", "s4", "w1"])
    assert ran.did("s4 k3s_server main", "w1 k3s_agent main", "s1 Wait until the nodes and their agents are well")
    assert {failure.host for failure in ran.result.failures} == {"s2", "s3"}
    assert ran.result.returncode != 0


def test_servers_join_without_the_only_worker(run: Runner) -> None:
    ran = run("add_nodes.yml", K3S, engine="k3s", cut=["w1 k3s_agent main"], mls_nodes=["s2", "w1"])
    assert ran.did("s2 k3s_server main", "s1 Wait until the nodes and their agents are well")
    assert [(failure.host, failure.family) for failure in ran.result.failures] == [("w1", "unreachable")]
    assert not any(step.startswith("mg") for step in ran.done)
