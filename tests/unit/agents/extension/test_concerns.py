"""Which assets a sample is about."""

from __future__ import annotations

import pytest
from mlsysops_agents.extension import Concerns
from mlsysops_core.contracts import Sample

OWN = ("cluster/c1", "system/c1")


@pytest.fixture
def concerns() -> Concerns:
    on_node = {"worker1": {"shop", "ledger"}}
    known = Concerns(OWN, lambda node: on_node.get(node, set()))
    known.note("shop", ["web", "store"])
    known.note("ledger", ["web", "book"])
    return known


@pytest.mark.parametrize(("attributes", "applications"), [
    ({"service.name": "store"}, {"shop"}),
    ({"service.name": "web"}, {"shop", "ledger"}),
    ({"service.name": "web", "service.namespace": "ledger"}, {"ledger"}),
    ({"service.name": "web", "service.namespace": "elsewhere"}, {"shop", "ledger"}),
    ({"service.name": "mlsysops-node-agent", "k8s.node.name": "worker1"}, {"shop", "ledger"}),
    ({"service.name": "mlsysops-node-agent", "k8s.node.name": "worker2"}, set()),
    ({"service.name": "stranger"}, None),
    ({}, None),
])  # fmt: skip
def test_whom_a_sample_concerns(concerns: Concerns, attributes: dict[str, str], applications: set[str] | None) -> None:
    sample = Sample("latency", 1.0, 0.0, attributes)
    about = concerns.applications(sample)
    assert (None if about is None else set(about)) == applications
    assets = concerns.assets(sample)
    if applications is None:
        assert assets is None  # any: what sent it is not known
    else:
        assert assets is not None
        assert set(assets) == {*OWN, *(f"application/{name}" for name in applications)}


def test_components_come_and_go(concerns: Concerns) -> None:
    concerns.note("shop", ["web", "till"])
    assert concerns.applications(Sample("m", 1.0, 0.0, {"service.name": "store"})) is None
    assert set(concerns.applications(Sample("m", 1.0, 0.0, {"service.name": "till"})) or ()) == {"shop"}
    concerns.forget("shop")
    assert set(concerns.applications(Sample("m", 1.0, 0.0, {"service.name": "web"})) or ()) == {"ledger"}
    concerns.forget("nobody")
