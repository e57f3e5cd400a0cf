"""A node leaves: what its agent changed is put back while the agent still runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Runner

K3S = {"mg": "management", "s1": "server", "w1": "worker", "w2": "worker"}
TOLD, GONE, FORGOTTEN = (
    "s1 Have settings put back",
    "w1 k3s_agent remove",
    "s1 Delete what the cluster knows of the node",
)


def test_an_agent_that_is_a_pod_is_told_before_k3s_goes(run: Runner) -> None:
    ran = run("remove_nodes.yml", K3S, engine="k3s", mls_nodes=["w1"])
    assert ran.result.failures == []
    assert ran.done.index(TOLD) < ran.done.index(GONE) < ran.done.index(FORGOTTEN)
    assert not any(step.startswith("w2") for step in ran.done)


def test_an_agent_of_a_dead_node_is_not_asked(run: Runner) -> None:
    ran = run("remove_nodes.yml", K3S, engine="k3s", mls_nodes=["w1"], mls_dead=True)
    assert ran.result.failures == []
    assert ran.did(FORGOTTEN)
    assert not {TOLD, GONE} & set(ran.done)
