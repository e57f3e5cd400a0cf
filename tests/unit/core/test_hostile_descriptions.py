"""Whatever a file of descriptions holds, the answer is a description or faults, never a crash."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlsysops_core.errors import InvalidInput
from mlsysops_core.model import from_resource, load_descriptions
from mlsysops_core.yaml import load_yaml

DATA = Path(__file__).parents[2] / "data" / "mlsysops" / "descriptions"
EXAMPLES = [load_yaml(path.read_bytes()).value for path in sorted(DATA.glob("*.yaml"))]
JUNK: list[Any] = [
    None,
    "",
    "x",
    0,
    -1,
    1.5,
    True,
    [],
    [None],
    {},
    {"": None},
    {"name": []},
    "9" * 70,
    10**30,
    [[1]],
    "*",
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    if not path:
        return junk
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], junk)
    return copy


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(EXAMPLES), st.booleans(), st.randoms(use_true_random=False))
def test_any_part_may_be_junk(document: dict[str, Any], manifest: bool, random: Any) -> None:
    if manifest:
        ((kind, spec),) = document.items()
        metadata = {"name": "a", "labels": {"a": "b"}, "annotations": {"a": "b"}}
        document = {"apiVersion": "mlsysops.eu/v1", "kind": kind, "metadata": metadata, "spec": spec}
    for _ in range(random.randint(1, 3)):
        document = replaced(document, random.choice(places(document)), random.choice(JUNK))
        if not isinstance(document, dict):
            break
    with contextlib.suppress(InvalidInput):
        assert load_descriptions(json.dumps(document))
    if isinstance(document, dict):
        with contextlib.suppress(InvalidInput):
            assert from_resource(document)
