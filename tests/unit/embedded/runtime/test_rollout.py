"""The arithmetic of roll-outs, by example and by simulation to the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlsysops_embedded.controllers.rollout import (
    Counts,
    Fenceposts,
    fenceposts,
    new_replicas,
    old_replicas,
    proportional,
    same_template,
)


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "wanted"),
    [
        (None, None, 10, Fenceposts(3, 2)),
        ("50%", "50%", 3, Fenceposts(2, 1)),
        (0, 0, 5, Fenceposts(0, 1)),
        ("0%", "10%", 4, Fenceposts(0, 1)),
        (1, 0, 1, Fenceposts(1, 0)),
        (1, 9, 4, Fenceposts(1, 4)),
    ],
)
def test_fenceposts(surge: object, unavailable: object, replicas: int, wanted: Fenceposts) -> None:
    assert fenceposts({"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}, replicas) == wanted


def test_new_replicas_fill_the_surge_and_no_more() -> None:
    assert new_replicas(10, 0, 10, Fenceposts(3, 2)) == 3
    assert new_replicas(10, 3, 13, Fenceposts(3, 2)) == 3
    assert new_replicas(10, 12, 12, Fenceposts(3, 2)) == 10


def test_broken_old_pods_go_first() -> None:
    assert old_replicas(10, Counts(3, 0), [Counts(10, 8)], Fenceposts(3, 2)) == [8]


@given(
    wanted=st.integers(1, 30),
    surge=st.integers(0, 10),
    unavailable=st.integers(0, 10),
    old=st.lists(st.integers(0, 15), max_size=3),
    ready=st.lists(st.integers(0, 3), min_size=1, max_size=8),
)
def test_a_rollout_ends_and_stays_between_its_limits(
    wanted: int, surge: int, unavailable: int, old: list[int], ready: list[int]
) -> None:
    posts = fenceposts({"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}, wanted)
    sizes, new, new_ready = list(old), 0, 0
    started_above = max(sum(sizes), wanted + posts.surge)
    for step in range(1000):
        new = new_replicas(wanted, new, new + sum(sizes), posts)
        available_before = new_ready + sum(sizes)
        kept = old_replicas(wanted, Counts(new, new_ready), [Counts(size, size) for size in sizes], posts)
        assert all(k <= s for k, s in zip(kept, sizes, strict=True))
        sizes = kept
        assert new + sum(sizes) <= started_above
        assert new_ready + sum(sizes) >= min(available_before, wanted - posts.unavailable)
        # Some pods become ready each round, not always all of them.
        new_ready = min(new, new_ready + max(1, ready[step % len(ready)]))
        if new == new_ready == wanted and not sum(sizes):
            return
    raise AssertionError(f"stuck at {new} new, {sizes} old")


@given(wanted=st.integers(0, 50), sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4), surge=st.integers(0, 5))
def test_proportional_scaling_hits_the_sum(wanted: int, sizes: list[int], surge: int) -> None:
    result = proportional(wanted, sizes, Fenceposts(surge, 1))
    assert all(size >= 0 for size in result)
    assert sum(result) == (wanted + surge if wanted else 0)


def test_the_hash_label_is_no_difference() -> None:
    bare = {"metadata": {"labels": {"a": "b"}}, "spec": {}}
    marked = {"metadata": {"labels": {"a": "b", "pod-template-hash": "x"}, "creationTimestamp": None}, "spec": {}}
    assert same_template(bare, marked)
    assert not same_template(bare, {"metadata": {"labels": {"a": "c"}}, "spec": {}})
