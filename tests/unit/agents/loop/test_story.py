"""Which decisions are told: an asset's own, and what was tried in vain again and again only once."""

from __future__ import annotations

from typing import Any

from mlsysops_agents.loop.story import repeats, story


def decision(second: int, outcome: str = "failed", **rest: Any) -> dict[str, Any]:
    return {
        "id": str(second),
        "time": f"2026-01-01T00:00:{second:02}.500Z",
        "policy": "placing",
        "verdict": "adapt",
        "outcome": outcome,
        "trigger": "timer",
        **rest,
    }


def told(*decisions: dict[str, Any], since: str = "", limit: int = 20) -> list[str]:
    """Ids of what is told, oldest first."""
    return [str(item["id"]) for item in reversed(story(reversed(decisions), since=since, limit=limit))]


def test_what_fails_again_and_again_is_told_once() -> None:
    assert told(*(decision(second) for second in range(30))) == ["0"]
    assert told(decision(1), decision(2, message="another reason"), decision(3)) == ["1", "2", "3"]


def test_policies_that_take_turns_do_not_fill_the_story() -> None:
    turns = [decision(second, policy=f"p{second % 2}") for second in range(30)]
    assert told(*turns) == ["0", "1"]


def test_what_was_done_is_always_told_and_begins_anew() -> None:
    assert told(decision(1, "executed"), decision(2, "executed")) == ["1", "2"]
    assert told(decision(1), decision(2, "executed"), decision(3), decision(4)) == ["1", "2", "3"]
    assert not repeats(decision(2, "executed"), [decision(1, "executed")])


def test_decisions_about_a_namesake_that_is_gone_are_not_told() -> None:
    assert told(decision(1), decision(5, message="x"), since="2026-01-01T00:00:05Z") == ["5"]


def test_nothing_to_say_is_not_told_and_the_newest_are_kept() -> None:
    several = [decision(second, "executed") for second in range(5)]
    assert told(*several, decision(6, verdict="no-change"), limit=2) == ["3", "4"]
