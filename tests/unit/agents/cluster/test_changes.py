"""Which changes of a node concern which applications."""

from __future__ import annotations

from typing import Any

import pytest
from mlsysops_agents.adapters.kubernetes import Change, ChangeKind
from mlsysops_agents.cluster.changes import newly_decided


def node(*decisions: tuple[str, str]) -> dict[str, Any]:
    told = [{"id": key, "asset": asset} for key, asset in decisions]
    return {"kind": "MLSysOpsNode", "metadata": {"name": "w1"}, "status": {"decisions": told}}


@pytest.mark.parametrize(("old", "new", "names"), [
    (None, node(("1", "application/shop")), {"shop"}),
    (node(("1", "application/shop")), node(("1", "application/shop")), set()),
    (node(("1", "application/shop")), node(("2", "application/ledger"), ("1", "application/shop")), {"ledger"}),
    (node(), node(("3", "w1"), ("4", "system/w1")), set()),
    (node(("1", "application/shop")), {"metadata": {"name": "w1"}}, set()),
])  # fmt: skip
def test_applications_of_which_a_node_tells_something_new(
    old: dict[str, Any] | None, new: dict[str, Any], names: set[str]
) -> None:
    assert newly_decided(Change(ChangeKind.MODIFIED, "w1", new, old)) == names
