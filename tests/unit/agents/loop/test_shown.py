"""Mechanisms are looked at when a policy looks, and once in a turn."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from mlsysops_agents.loop.shown import Shown


class Looked:
    def __init__(self) -> None:
        self.looks = 0

    def get_state(self) -> dict[str, Any]:
        self.looks += 1
        return {"looks": self.looks}

    def get_options(self) -> dict[str, Any]:
        return {}


def test_only_what_is_looked_at_is_worked_out() -> None:
    a, b = Looked(), Looked()
    shown = Shown({"a": a, "b": b})  # type: ignore[dict-item]
    assert list(shown) == ["a", "b"]
    assert "a" in shown
    assert (a.looks, b.looks) == (0, 0)
    assert shown["a"]["state"] == shown.get("a")["state"] == {"looks": 1}
    assert (a.looks, b.looks) == (1, 0)
    assert shown.get("c") is None
    with pytest.raises(KeyError):
        shown["c"]
    assert dict(shown.items())["b"] == {"state": {"looks": 1}, "options": {}}
    assert [item["state"] for item in shown.values()] == [{"looks": 1}, {"looks": 1}]
    assert pickle.loads(pickle.dumps(shown.copy())) == shown.copy()
