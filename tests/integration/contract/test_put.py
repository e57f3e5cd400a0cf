"""PUT where there is nothing: some kinds are made by it, the others are not found."""

from __future__ import annotations

import itertools

import pytest
from kube_api import Api, Obj, config_map, failure, lease, path, pod
from kube_rbac import RBAC, binding, grant, role, rule, user
from kube_targets import Target

_COUNTER = itertools.count(1)
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"ports": [{"port": 80}]}}


def event(namespace: str) -> Obj:
    about = {"kind": "Pod", "namespace": namespace, "name": "p"}
    return {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "x"}, "involvedObject": about, "reason": "R"}


@pytest.mark.parametrize("kind", ["leases", "services", "roles", "rolebindings", "events"])
def test_some_kinds_are_made(api: Api, namespace: str, kind: str) -> None:
    made = {
        "leases": lease("x"),
        "services": SERVICE,
        "roles": role("x"),
        "rolebindings": binding("x", "y"),
        "events": event(namespace),
    }[kind]
    url = path(kind, namespace, "x")
    response = api.put(url, made)
    assert response.status_code == 201, response.text
    created = response.json()
    assert (created["metadata"]["name"], created["metadata"]["namespace"]) == ("x", namespace)
    again = api.put(url, {**created, "metadata": {**created["metadata"], "labels": {"a": "b"}}})
    assert again.status_code == 200, again.text


def test_cluster_roles_are_made(api: Api) -> None:
    name = f"put-{next(_COUNTER)}"
    assert api.put(path("clusterroles", name=name), role(name, kind="ClusterRole")).status_code == 201
    api.remove(path("clusterroles", name=name))


@pytest.mark.parametrize("kind", ["configmaps", "pods"])
def test_others_are_not_found(api: Api, namespace: str, kind: str) -> None:
    made = config_map("x") if kind == "configmaps" else pod("x")
    failure(api.put(path(kind, namespace, "x"), made), 404, "NotFound")


def test_a_dry_run_makes_nothing(api: Api, namespace: str) -> None:
    assert api.put(path("leases", namespace, "x"), lease("x"), dryRun="All").status_code == 201
    assert api.gone(path("leases", namespace, "x"))


def test_the_name_is_needed_and_the_same(api: Api, namespace: str) -> None:
    failure(api.put(path("leases", namespace, "x"), lease("y")), 400, "BadRequest")
    failure(api.put(path("leases", namespace, "x"), lease("")), 400, "BadRequest")
    assert api.gone(path("leases", namespace, "x"))


def test_making_needs_the_right_to_create(target: Target, api: Api, namespace: str) -> None:
    name = f"putter-{next(_COUNTER)}"
    person = target.user(name)
    grant(api, namespace, user(name), rule(["update"], ["leases"], group="coordination.k8s.io"))
    failure(person.put(path("leases", namespace, "x"), lease("x")), 403, "Forbidden")
    grant(api, namespace, user(name), rule(["create"], ["leases"], group="coordination.k8s.io"))
    assert person.put(path("leases", namespace, "x"), lease("x")).status_code == 201


def test_what_is_made_grants_no_more_than_its_maker_has(target: Target, api: Api, namespace: str) -> None:
    name = f"putter-{next(_COUNTER)}"
    person = target.user(name)
    grant(api, namespace, user(name), rule(["create", "update"], ["roles"], group=RBAC))
    failure(person.put(path("roles", namespace, "x"), role("x", rule(["get"], ["secrets"]))), 403, "Forbidden")


def test_a_lease_needs_the_version_that_it_replaces(api: Api, namespace: str) -> None:
    """So do definitions: two that hold a lock must not overwrite each other."""
    url = path("leases", namespace)
    made = api.create(url, lease("l", "one"))
    failure(api.put(f"{url}/l", lease("l", "two")), 422, "Invalid")
    version = made["metadata"]["resourceVersion"]
    api.replace(f"{url}/l", lease("l", "two", resourceVersion=version))
    failure(api.put(f"{url}/l", lease("l", "three", resourceVersion=version)), 409, "Conflict")


def test_what_does_not_change_is_known(api: Api, namespace: str) -> None:
    """A strict replacement that leaves the spec alone names no unknown field."""
    made = api.create(path("leases", namespace), lease("l", "one"))
    made["metadata"]["labels"] = {"a": "b"}
    response = api.put(path("leases", namespace, "l"), made, fieldValidation="Strict")
    assert response.status_code == 200, response.text
    assert response.json()["spec"] == made["spec"]
