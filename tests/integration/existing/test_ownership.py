"""The module that applies objects leaves what others made under the same names alone, all of it or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from kube_embedded import EmbeddedControlPlane

from mlsysops_cli.ansible_plugins.module_utils.mls_kubernetes import Api
from mlsysops_cli.ansible_plugins.modules import mls_apply

PATH = "/api/v1/namespaces/default"
LABEL = "app.kubernetes.io/managed-by"


class Ended(Exception):
    """The module came to its end."""


class Module:
    """As much of Ansible's module as applying needs."""

    def __init__(self, kubeconfig: str, *, check: bool = False, take: bool = False) -> None:
        self.check_mode = check
        self.params = {
            "kubeconfig": kubeconfig, "members": [], "prune": [], "wait": [], "field_manager": "mls", "timeout": 60,
            "take_ownership": take,
        }  # fmt: skip

    def fail_json(self, **result: Any) -> None:
        raise Ended({"failed": True, **result})

    def exit_json(self, **result: Any) -> None:
        raise Ended(result)


def ours(kind: str, name: str) -> dict[str, Any]:
    """An object as it is rendered."""
    metadata = {"name": name, "namespace": "default", "labels": {LABEL: "mls"}}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


def applied(plane: EmbeddedControlPlane, objects: list[dict[str, Any]], **how: bool) -> dict[str, Any]:
    with pytest.raises(Ended) as caught:
        mls_apply._run(Module(str(plane.kubeconfig), **how), objects)
    result: dict[str, Any] = caught.value.args[0]
    return result


def test_all_or_nothing_is_applied(plane: EmbeddedControlPlane) -> None:
    api = Api(str(plane.kubeconfig))
    theirs = {**ours("ServiceAccount", "agent"), "metadata": {"name": "agent", "namespace": "default"}}
    made = api.request("POST", f"{PATH}/serviceaccounts", body=theirs)
    objects = [ours("ConfigMap", "settings-of-agent") | {"data": {"a": "b"}}, ours("ServiceAccount", "agent")]
    for check in (False, True):
        refused = applied(plane, objects, check=check)
        assert refused["mls_error"] == "conflict"
        assert refused["msg"].startswith("others made ServiceAccount default/agent (rename or delete them, or ")
    assert api.get(f"{PATH}/configmaps/settings-of-agent") is None
    assert api.get(f"{PATH}/serviceaccounts/agent") == made

    taken = applied(plane, objects, take=True)
    assert taken["touched"] == ["ConfigMap/settings-of-agent", "ServiceAccount/agent"]
    assert applied(plane, objects)["changed"] is False
    # Who takes our label away does not make it theirs.
    patch = {"metadata": {"labels": {LABEL: None}}}
    path = f"{PATH}/configmaps/settings-of-agent"
    api.request("PATCH", path, body=patch, content_type="application/merge-patch+json")
    assert applied(plane, objects)["touched"] == ["ConfigMap/settings-of-agent"]
    for path in (f"{PATH}/configmaps/settings-of-agent", f"{PATH}/serviceaccounts/agent"):
        api.delete(path)
