"""The ring of newest values against a plain list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlsysops_agents.adapters.telemetry.ring import Ring


@given(
    limit=st.integers(1, 40),
    steps=st.lists(st.tuples(st.floats(0, 5), st.floats(-1e9, 1e9), st.booleans()), max_size=120),
)
def test_behaves_like_a_bounded_list(limit: int, steps: list[tuple[float, float, bool]]) -> None:
    ring = Ring(limit)
    model: list[tuple[float, float]] = []
    now = 0.0
    for delay, value, drop in steps:
        now += delay
        ring.append(now, value)
        model = [*model, (now, value)][-limit:]
        if drop:
            ring.drop_before(now - 3)
            model = [pair for pair in model if pair[0] >= now - 3]
        assert len(ring) == len(model)
        assert ring.last() == model[-1]
        assert ring.since(float("-inf")) == model
        assert ring.since(now - 2) == [pair for pair in model if pair[0] >= now - 2]


def test_empty() -> None:
    ring = Ring(3)

    assert ring.since(0) == []
    with pytest.raises(IndexError):
        ring.last()


def test_needs_room() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Ring(0)
