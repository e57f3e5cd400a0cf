"""Decisions are kept, told and forgotten asset by asset, whatever the asset is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest
from mlsysops_agents.extension import Decisions


class Told:
    """Takes Events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    async def event(self, obj: Mapping[str, Any], *, kind: str, reason: str, message: str) -> None:
        self.events.append((obj["metadata"]["name"], reason, message))


def decision(asset: str, number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"{asset}-{number}", "asset": asset, "time": f"2026-01-01T00:00:{number:02d}.000Z", "policy": "p",
        "verdict": "adapt", "outcome": "executed", "scheduler": "executed", "message": "", "plan": {"m": {"n": number}}, **more,
    }  # fmt: skip


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def marked() -> list[str]:
    return []


@pytest.fixture
def decisions(told: Told, marked: list[str]) -> Decisions:
    def about(asset: str) -> Mapping[str, Any] | None:
        return None if asset.endswith("/gone") else {"metadata": {"name": asset.partition("/")[2]}}

    return Decisions(told, about, marked.append)  # type: ignore[arg-type]  # of the objects only Events are used


async def test_a_failed_plan_about_a_cluster_is_told_like_one_about_an_application(
    decisions: Decisions, told: Told, marked: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    failed = decision("cluster/c1", 1, outcome="failed", scheduler="failed: no such governor")
    async with asyncio.TaskGroup() as tasks:
        decisions.tasks = tasks
        decisions.take(failed)
    assert told.events == [("c1", "PlanFailed", "failed: no such governor")]
    assert marked == ["cluster/c1"]
    assert "cluster/c1" in caplog.text


def test_large_plans_are_kept_as_small_as_statuses_have_them(decisions: Decisions) -> None:
    for number in range(3):
        decisions.take(decision("application/a", number, plan={"m": {"text": str(number) * 2**20}}, outcome="failed"))
    (kept,) = decisions.of("application/a")  # the same in vain again and again, as far as it is kept
    assert kept["plan"] == {"cut": "1048595 characters left out"}


def test_the_log_tells_of_assets_that_are_gone(decisions: Decisions, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    decisions.take(decision("application/gone", 1))
    assert "application/gone" in caplog.text
    assert not decisions.of("application/gone")


def test_the_newest_of_several_assets(decisions: Decisions) -> None:
    for number in range(15):
        decisions.take(decision("node/w1", 2 * number))
        decisions.take(decision("system/w1", 2 * number + 1))
    newest = decisions.newest(["node/w1", "system/w1"])
    assert [item["plan"]["m"]["n"] for item in newest] == list(range(29, 9, -1))
    decisions.forget("system/w1")
    assert {item["asset"] for item in decisions.newest(["node/w1", "system/w1"])} == {"node/w1"}


def test_nothing_to_do_is_not_told(decisions: Decisions, marked: list[str]) -> None:
    decisions.take(decision("node/w1", 1, verdict="no-change"))
    assert marked == []
    assert not decisions.of("node/w1")
