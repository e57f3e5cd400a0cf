"""What others made under names of ours is told from what is ours, and a deployment does not take it over unasked."""

from __future__ import annotations

from typing import Any

import pytest

from mlsysops_cli.ansible_plugins.module_utils.mls_ownership import Claims, is_foreign, title_of
from mlsysops_cli.render import take_ownership


def found(kind: str = "ServiceAccount", **metadata: Any) -> dict[str, Any]:
    """An object as an API returns it."""
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "mlsysops-northbound", "namespace": "f", **metadata}}


@pytest.mark.parametrize(
    ("obj", "foreign"),
    [
        (None, False),
        (found(), True),
        (found(labels={"app.kubernetes.io/managed-by": "Helm"}), True),
        (found(labels={"app.kubernetes.io/managed-by": "mls"}), False),
        # What `mls infra register-infra` and running agents make.
        (found(labels={"app.kubernetes.io/managed-by": "mlsysops"}), False),
        # Somebody took the label away from what we applied.
        (found(managedFields=[{"manager": "mls", "operation": "Apply"}]), False),
        (found(managedFields=[{"manager": "mls", "operation": "Update"}, {"manager": "kubectl", "operation": "Apply"}]), True),
        (found("Namespace"), False),
        (found("CustomResourceDefinition"), False),
    ],
)  # fmt: skip
def test_whose_it_is(obj: dict[str, Any] | None, foreign: bool) -> None:
    assert is_foreign(obj) is foreign


def test_what_was_found_is_not_asked_for_again() -> None:
    class Api:
        def __init__(self) -> None:
            self.asked: list[str] = []

        def find(self, obj: dict[str, Any]) -> dict[str, Any] | None:
            self.asked.append(title_of(obj))
            return {**obj, "there": True} if obj["metadata"]["name"] == "a" else None

    api = Api()
    claims = Claims(api, [found(name="a"), found(name="b")])
    assert claims.foreign == ["ServiceAccount f/a"]
    assert (claims.before(found(name="a")) or {})["there"]
    assert claims.before(found(name="b")) is None
    assert api.asked == ["ServiceAccount f/a", "ServiceAccount f/b"]


def test_slices_do_not_take_each_other_s_objects() -> None:
    ours = {"labels": {"app.kubernetes.io/managed-by": "mls", "mlsysops.eu/slice": "ours"}}
    there = {
        "another": found(name="another", labels={**ours["labels"], "mlsysops.eu/slice": "theirs"}),
        "ours": found(name="ours", **ours),
        # Deployed by a version that did not say whose it was.
        "older": found(name="older", labels={"app.kubernetes.io/managed-by": "mls"}),
    }

    class Api:
        def find(self, obj: dict[str, Any]) -> dict[str, Any] | None:
            return there.get(obj["metadata"]["name"])

    claims = Claims(Api(), [found(name=name, **ours) for name in (*there, "new")])
    assert claims.foreign == ["ServiceAccount f/another of slice theirs"]


def test_a_person_who_wants_it_is_obeyed_everywhere() -> None:
    plan: dict[str, Any] = {
        "apis": {
            "m": {"objects": [{}, {}], "pods": [{}], "secrets": [{"secret": {}}], "telemetry": {"name": "t"}},
            "s": {"objects": [{}], "pods": [], "secrets": [], "telemetry": {}},
        },
        "hosts": {"w": {"controlplane": {}}, "e": {"controlplane": {"apply": {"kubeconfig": "k"}}}},
    }
    take_ownership(plan)
    allowed = {"take_ownership": True}
    assert plan["apis"]["m"] == {
        "objects": [allowed] * 2, "pods": [allowed], "secrets": [{"secret": allowed}],
        "telemetry": {"name": "t", **allowed},
    }  # fmt: skip
    assert plan["apis"]["s"] == {"objects": [allowed], "pods": [], "secrets": [], "telemetry": {}}
    assert plan["hosts"] == {
        "w": {"controlplane": {}},
        "e": {"controlplane": {"apply": {"kubeconfig": "k", **allowed}}},
    }
