"""The life of a namespace."""

from __future__ import annotations

import pytest
from kube_api import Api, Obj, config_map, failure, path, wait_for
from kube_crds import Definition, conditions, defined


def make(api: Api, name: str) -> Obj:
    return api.create(path("namespaces"), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def test_created(api: Api, unique: str) -> None:
    made = make(api, unique)
    assert made["status"]["phase"] == "Active"
    assert made["spec"]["finalizers"] == ["kubernetes"]
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": unique}
    api.remove(path("namespaces", name=unique))


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public", "kube-node-lease"])
def test_system_namespaces(api: Api, name: str) -> None:
    assert api.read(path("namespaces", name=name))["status"]["phase"] == "Active"


@pytest.mark.parametrize("name", ["default", "kube-system"])
def test_system_namespaces_stay(api: Api, name: str) -> None:
    status = failure(api.delete(path("namespaces", name=name)), 403, "Forbidden")
    assert "this namespace may not be deleted" in status["message"]


@pytest.mark.parametrize("name", ["Upper", "with.dot", "x" * 64])
def test_names(api: Api, name: str) -> None:
    failure(api.post(path("namespaces"), {"metadata": {"name": name}}), 422, "Invalid")


def test_terminating_takes_nothing_new(api: Api, unique: str) -> None:
    make(api, unique)
    held = config_map("held", finalizers=["example.com/hold"])
    api.create(path("configmaps", unique), held)
    leaving = api.remove(path("namespaces", name=unique))
    assert leaving["kind"] == "Namespace"
    assert leaving["status"]["phase"] == "Terminating"
    assert "deletionTimestamp" in leaving["metadata"]
    status = failure(api.post(path("configmaps", unique), config_map("late")), 403, "Forbidden")
    assert "because it is being terminated" in status["message"]
    assert status["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    # What is there can still be changed.
    api.merge(path("configmaps", unique, "held"), {"metadata": {"finalizers": []}})


@pytest.mark.usefixtures("controllers")
def test_contents_go_with_it(api: Api, unique: str) -> None:
    make(api, unique)
    with defined(api, Definition()) as definition:
        api.create(path("configmaps", unique), config_map("cm"))
        api.create(path("secrets", unique), {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})
        api.create(definition.url(unique), definition.widget("w"))
        api.remove(path("namespaces", name=unique))
        # Kubernetes tries again every so often while a definition is new to it.
        wait_for("namespace goes", lambda: api.gone(path("namespaces", name=unique)), timeout=60)
        for url in (path("configmaps", unique), path("secrets", unique), definition.url(unique)):
            assert api.read(url)["items"] == []
    # And comes back empty.
    make(api, unique)
    assert api.gone(path("configmaps", unique, "cm"))
    api.remove(path("namespaces", name=unique))


@pytest.mark.usefixtures("controllers")
def test_it_waits_for_finalizers_and_says_so(api: Api, unique: str) -> None:
    make(api, unique)
    api.create(path("configmaps", unique), config_map("held", finalizers=["example.com/hold"]))
    url = path("namespaces", name=unique)
    api.remove(url)
    wait_for("it says so", lambda: conditions(api.read(url)).get("NamespaceFinalizersRemaining") == "True")
    message = {c["type"]: c["message"] for c in api.read(url)["status"]["conditions"]}["NamespaceFinalizersRemaining"]
    assert "example.com/hold in 1 resource instances" in message
    api.merge(path("configmaps", unique, "held"), {"metadata": {"finalizers": []}})
    wait_for("namespace goes", lambda: api.gone(url))


def test_finalize(api: Api, unique: str) -> None:
    """What a namespace controller does last."""
    made = make(api, unique)
    url = path("namespaces", name=unique)
    made["spec"]["finalizers"] = ["example.com/own"]
    finalized = api.replace(f"{url}/finalize", made)
    assert finalized["spec"]["finalizers"] == ["example.com/own"]
    changed = api.merge(url, {"spec": {"finalizers": ["other.example.com/x"]}})
    assert changed["spec"]["finalizers"] == ["example.com/own"]
    api.remove(url)
    assert not api.gone(url)
    last = api.read(url)
    last["spec"]["finalizers"] = []
    del last["metadata"]["resourceVersion"]
    api.replace(f"{url}/finalize", last)
    wait_for("namespace goes", lambda: api.gone(url))
