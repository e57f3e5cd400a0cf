"""A dict that works out its values when somebody looks is a dict to everybody else."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from mlsysops_core.lazy import LazyDict


def lazy() -> tuple[LazyDict[int], list[str]]:
    asked: list[str] = []

    def make(key: str) -> int:
        asked.append(key)
        return len(key)

    return LazyDict(["one", "three"], make), asked


def test_only_what_is_looked_at_is_worked_out_and_once() -> None:
    made, asked = lazy()
    assert (list(made), len(made), "one" in made, "two" in made) == (["one", "three"], 2, True, False)
    assert made.get("two") is None
    assert asked == []
    assert made["three"] == made.get("three") == 5
    assert asked == ["three"]
    with pytest.raises(KeyError):
        made["two"]


@pytest.mark.parametrize(
    "read",
    [
        dict,
        copy.deepcopy,
        copy.copy,
        lambda made: {**made},
        lambda made: made.copy(),
        lambda made: dict(made.items()),
        lambda made: dict(zip(made, made.values(), strict=True)),
        lambda made: json.loads(json.dumps(made)),
        lambda made: pickle.loads(pickle.dumps(made)),
    ],
)
def test_who_looks_at_all_of_it_sees_all_of_it(read: Any) -> None:
    made, _ = lazy()
    assert read(made) == {"one": 3, "three": 5}
    assert type(read(made)) is dict
    assert made == {"one": 3, "three": 5}


def test_it_is_its_owners_to_change() -> None:
    made, asked = lazy()
    made["one"] = 7
    assert made["one"] == 7
    assert made.pop("three") == 5
    assert made.pop("three", 0) == 0
    made["two"] = 2
    del made["one"]
    assert made == {"two": 2}
    assert asked == ["three"]
