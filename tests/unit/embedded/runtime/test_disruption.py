"""When most of a zone's nodes fall silent at once, evictions slow down or stop, as in Kubernetes."""

from __future__ import annotations

import pytest
from mlsysops_embedded.controllers.disruption import Brake, Rates, ZoneState, state_of, zone_of

HERE, THERE = ("", "here"), ("", "there")


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def nodes(**zones: tuple[int, int]) -> list[tuple[tuple[str, str], bool]]:
    """Zones with so many nodes that are ready and that are not."""
    return [
        (("", zone), ready)
        for zone, counts in zones.items()
        for ready, n in zip((True, False), counts, strict=True)
        for _ in range(n)
    ]


@pytest.mark.parametrize(
    ("ready", "silent", "state"),
    [
        (0, 0, ZoneState.NORMAL),
        (0, 1, ZoneState.FULL),
        (1, 0, ZoneState.NORMAL),
        (1, 2, ZoneState.NORMAL),  # two thirds, but two nodes say nothing
        (2, 3, ZoneState.PARTIAL),
        (3, 3, ZoneState.NORMAL),
        (9, 11, ZoneState.PARTIAL),  # 55 % to the point
        (46, 54, ZoneState.NORMAL),
        (0, 54, ZoneState.FULL),
    ],
)
def test_states_of_zones(ready: int, silent: int, state: ZoneState) -> None:
    assert state_of(ready, silent, Rates().threshold) is state


def test_a_healthy_zone_loses_one_node_in_ten_seconds(clock: Clock) -> None:
    brake = Brake(Rates(), clock)
    assert not brake.look(nodes(here=(7, 3), there=(1, 0)))
    assert brake.turn(HERE) == 0
    assert brake.turn(HERE) == pytest.approx(10)
    assert brake.turn(THERE) == 0  # another zone has turns of its own
    clock.now += 4
    assert brake.turn(HERE) == pytest.approx(6)
    clock.now += 6
    assert brake.turn(HERE) == 0


def test_a_small_zone_in_partial_disruption_loses_nothing_until_it_is_over(clock: Clock) -> None:
    brake = Brake(Rates(), clock)
    brake.look(nodes(here=(2, 3), there=(5, 0)))
    assert brake.turn(HERE) is None
    assert brake.turn(THERE) == 0
    clock.now += 3600
    assert brake.turn(HERE) is None
    brake.look(nodes(here=(3, 2), there=(5, 0)))
    assert brake.turn(HERE) == pytest.approx(10)  # who waited for a turn waits anew
    clock.now += 10
    assert brake.turn(HERE) == 0


def test_a_large_zone_in_partial_disruption_slows_down(clock: Clock) -> None:
    brake = Brake(Rates(), clock)
    brake.look(nodes(here=(50, 1)))
    assert brake.turn(HERE) == 0
    brake.look(nodes(here=(20, 31)))
    assert brake.turn(HERE) == pytest.approx(100)  # who waited for a turn waits anew
    clock.now += 100
    assert brake.turn(HERE) == 0


def test_a_zone_that_is_gone_as_a_whole_is_evicted_as_long_as_another_one_lives(clock: Clock) -> None:
    brake = Brake(Rates(), clock)
    assert not brake.look(nodes(here=(0, 5), there=(1, 0)))
    assert not brake.blackout
    assert brake.turn(HERE) == 0


def test_when_no_node_is_ready_nothing_is_evicted(clock: Clock) -> None:
    brake = Brake(Rates(), clock)
    assert brake.look(nodes(here=(0, 5), there=(0, 1)))
    assert brake.blackout
    assert brake.turn(HERE) is None
    assert not brake.look(nodes(here=(0, 5), there=(0, 1)))
    assert brake.look(nodes(here=(0, 5), there=(1, 0)))
    assert not brake.blackout
    assert brake.turn(HERE) == pytest.approx(10)
    clock.now += 10
    assert brake.turn(HERE) == 0
    assert not brake.look([])


def test_zones_are_what_labels_say() -> None:
    def node(**labels: str) -> dict[str, object]:
        return {"metadata": {"labels": {f"topology.kubernetes.io/{key}": value for key, value in labels.items()}}}

    assert zone_of({"metadata": {}}) == ("", "")
    assert zone_of(node(region="r", zone="z")) == ("r", "z")
    assert zone_of({"metadata": {"labels": {"failure-domain.beta.kubernetes.io/zone": "old"}}}) == ("", "old")
