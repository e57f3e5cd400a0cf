"""Targets: which agents something is for."""

from __future__ import annotations

import pytest
from mlsysops_core.errors import InvalidInput
from mlsysops_core.model.agents import SentToAgents, Target

LABELS = {"zone": "a", "mlsysops.eu/tier": "node", "gpu": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("all", True),
        ("node", True),
        ("cluster", False),
        ("node/w1", True),
        ("node/w2", False),
        ("zone=a", True),
        ("zone==b", False),
        ("zone!=b,gpu=", True),
        ("zone in (a, b),!fpga", True),
        ("zone notin (a,b)", False),
        ("other!=x", True),
        ("!gpu", False),
    ],
)
def test_targets(text: str, matches: bool) -> None:
    assert Target.parse(text).matches("node", "w1", LABELS) is matches


@pytest.mark.parametrize("text", ["", "planet", "node/", "planet/x", "a=b c", "x in", "=x", "node/a/b"])
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Target.parse(text)


def test_the_more_specific_goes_before() -> None:
    ranks = [Target.parse(text).rank for text in ("all", "node", "zone=a", "node/w1")]
    assert ranks == sorted(ranks)


def test_data_that_is_none_is_refused() -> None:
    for data in ({}, {"envelope.json": "{"}, {"envelope.json": '{"kind": "policy", "name": "x", "target": "all"}'}):
        with pytest.raises(InvalidInput):
            SentToAgents.from_data(data)
