"""The module that applies objects leaves what others made under the same names alone, all of it or nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from kube_embedded import EmbeddedControlPlane
from mlsysops_core.errors import Refused

from mlsysops_cli.actions.framework.destroy import Extent, destroy
from mlsysops_cli.actions.framework.removal import removal_plan
from mlsysops_cli.actions.framework.successors import successors
from mlsysops_cli.ansible_plugins.module_utils.mls_kubernetes import Api
from mlsysops_cli.ansible_plugins.module_utils.mls_ownership import SLICE_LABEL
from mlsysops_cli.ansible_plugins.modules import mls_apply
from mlsysops_cli.settings import Settings
from mlsysops_cli.slice import AppliedObjects, SliceState, slice_directory

PATH = "/api/v1/namespaces/default"
LABEL = "app.kubernetes.io/managed-by"


class Ended(Exception):
    """The module came to its end."""


class Module:
    """As much of Ansible's module as applying needs."""

    def __init__(
        self, kubeconfig: str, *, check: bool = False, take: bool = False, prune: Sequence[dict[str, str]] = ()
    ) -> None:
        self.check_mode = check
        self.params = {
            "kubeconfig": kubeconfig, "members": [], "prune": list(prune), "wait": [], "field_manager": "mls", "timeout": 60,
            "take_ownership": take,
        }  # fmt: skip

    def fail_json(self, **result: Any) -> None:
        raise Ended({"failed": True, **result})

    def exit_json(self, **result: Any) -> None:
        raise Ended(result)


def ours(kind: str, name: str, slice_: str = "") -> dict[str, Any]:
    """An object as it is rendered."""
    labels = {LABEL: "mls", **({SLICE_LABEL: slice_} if slice_ else {})}
    metadata = {"name": name, "namespace": "default", "labels": labels}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


def applied(plane: EmbeddedControlPlane, objects: list[dict[str, Any]], **how: Any) -> dict[str, Any]:
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


def test_what_another_slice_took_over_stays_its_own(
    plane: EmbeddedControlPlane, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    shared, left = "ServiceAccount/agent", "ConfigMap/of-one"
    one = [ours("ServiceAccount", "agent", "one"), ours("ConfigMap", "of-one", "one")]
    assert applied(plane, one)["touched"] == [shared, left]
    part = {"plane": "api", "kubeconfig": str(plane.kubeconfig), "objects": "", "prune": []}
    plan = {
        "slice": "one", "hosts": {}, "groups": {"apis": ["api"]},
        "apis": {"api": {"kubeconfig": str(plane.kubeconfig), "objects": [part], "pods": []}},
    }  # fmt: skip
    directory = slice_directory("one")
    SliceState(name="one", engine="existing", inventory="", version="1", hosts={}, addresses={}).save()
    (directory / "plan.json").write_text(json.dumps({"mls_plan": plan}), encoding="utf-8")
    known = AppliedObjects.load(directory)
    known.add("api", one)
    known.save()
    assert successors(removal_plan(plan, directory)) == {}

    assert "of slice one" in applied(plane, [ours("ServiceAccount", "agent", "two")])["msg"]
    applied(plane, [ours("ServiceAccount", "agent", "two")], take=True)
    assert successors(removal_plan(plan, directory)) == {str(plane.kubeconfig): "two"}
    with pytest.raises(Refused, match="slice two has taken over clusters of slice one") as refused:
        destroy(
            Settings(), "one", yes=True, vault_password_file=None, extent=Extent(applications=True, definitions=True)
        )
    assert "--abandon" in str(refused.value.hint)
    assert directory.is_dir()

    # Even where nobody looked before: what is the other one's stays, what is not goes.
    gone = applied(plane, [], prune=known.superfluous("api", []))
    assert gone["touched"] == [left]
    api = Api(str(plane.kubeconfig))
    assert api.get(f"{PATH}/serviceaccounts/agent") is not None
    api.delete(f"{PATH}/serviceaccounts/agent")
