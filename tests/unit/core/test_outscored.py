"""Hosts that would do and were not taken."""

from __future__ import annotations

from mlsysops_core.contracts import PlacementOutcome, Rejected


def test_the_best_of_those_that_were_not_taken() -> None:
    scores = {f"w{number}": number / 10 for number in range(9)}
    found = PlacementOutcome({"web": "w8", "store": "far"}, scores={"web": scores, "store": {"w1": 0.5}})
    assert found.outscored(most=2) == [
        Rejected("w7", "score", "0.700; w8 has 0.800", "web"),
        Rejected("w6", "score", "0.600; w8 has 0.800", "web"),
        Rejected("w1", "score", "0.500; far is taken", "store"),
    ]


def test_nothing_where_there_was_no_choice() -> None:
    assert PlacementOutcome({"web": "w1"}, scores={"web": {"w1": 1.0}}).outscored() == []
    assert PlacementOutcome({}, scores={"web": {"w1": 1.0}}).outscored() == []
