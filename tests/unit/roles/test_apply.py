"""Objects of our kinds are given to a Karmada when its members serve the kinds, as far as it knows."""

from __future__ import annotations

import time
from typing import Any

from mlsysops_cli.ansible_plugins.modules import mls_apply

DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "spec": {"group": "g.eu", "names": {"kind": "Thing"}, "versions": [{"name": "v1"}, {"name": "v2"}]},
}
KINDS = {("g.eu/v1", "Thing")}


class Karmada:
    """Knows a little more of its members with each look."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self.answers = answers
        self.looks: list[str] = []

    def get(self, path: str) -> dict[str, Any] | None:
        name = path.rpartition("/")[2]
        self.looks.append(name)
        left = self.answers.get(name)
        if left is None:
            return None
        served = left.pop(0) if len(left) > 1 else left[0]
        groups = [{"groupVersion": "g.eu/v1", "resources": [{"name": kind.lower(), "kind": kind} for kind in served]}]
        return {"status": {"apiEnablements": groups} if served else {}}


def test_kinds_that_are_defined_and_used() -> None:
    others = [{"apiVersion": "v1", "kind": "Namespace"}, {"apiVersion": "g.eu/v1", "kind": "Thing"}]
    assert mls_apply._defined([DEFINITION, *others]) == KINDS
    assert mls_apply._defined(others) == set()


def test_each_member_is_waited_for() -> None:
    api = Karmada(a=[["Thing"]], b=[["Other"], ["Other"], ["Other", "Thing"]])
    mls_apply._await_members(api, ["a", "b"], KINDS, time.monotonic() + 60)
    assert api.looks == ["a", "b", "b", "b"]


def test_a_member_of_which_nothing_is_known_holds_nothing_up_for_ever() -> None:
    mls_apply._await_members(Karmada(a=[[]]), ["a", "gone"], KINDS, time.monotonic() + 3600)
    mls_apply._await_members(Karmada(a=[["Other"]]), ["a"], KINDS, time.monotonic())
