"""Finalizers, grace, and what happens to the objects that others own."""

from __future__ import annotations

import pytest
from kube_api import Api, Obj, failure, hold, lease, path, pod, version, wait_for

URL = "leases"
FINALIZER = "example.com/hold"


def owned_by(owner: Obj, **more: object) -> list[Obj]:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    return [{**reference, **more}]


class TestFinalizers:
    def test_hold_the_object(self, api: Api, namespace: str) -> None:
        created = api.create(path(URL, namespace), lease("cm", finalizers=[FINALIZER]))
        url = path(URL, namespace, "cm")
        held = api.remove(url)
        assert held["kind"] == "Lease"
        assert held["metadata"]["deletionTimestamp"].endswith("Z")
        assert held["metadata"]["deletionGracePeriodSeconds"] == 0
        assert version(held) > version(created)
        # It can be changed and deleted again; time does not start anew.
        changed = api.merge(url, hold("two"))
        assert changed["metadata"]["deletionTimestamp"] == held["metadata"]["deletionTimestamp"]
        assert api.remove(url)["metadata"]["deletionTimestamp"] == held["metadata"]["deletionTimestamp"]
        failure(api.post(path(URL, namespace), lease("cm")), 409, "AlreadyExists")
        api.merge(url, {"metadata": {"finalizers": None}})
        assert api.gone(url)

    def test_are_seen_by_watchers(self, api: Api, namespace: str) -> None:
        url = path(URL, namespace, "cm")
        created = api.create(path(URL, namespace), lease("cm", finalizers=[FINALIZER]))
        api.remove(url)
        api.merge(url, {"metadata": {"finalizers": []}})
        with api.watch(path(URL, namespace), resourceVersion=created["metadata"]["resourceVersion"]) as watch:
            modified, deleted = watch.take(2)
        assert (modified["type"], deleted["type"]) == ("MODIFIED", "DELETED")
        assert modified["object"]["metadata"]["finalizers"] == [FINALIZER]
        assert "deletionTimestamp" in deleted["object"]["metadata"]
        assert version(deleted["object"]) > version(modified["object"])

    def test_cannot_be_added_late(self, api: Api, namespace: str) -> None:
        url = path(URL, namespace, "cm")
        api.create(path(URL, namespace), lease("cm", finalizers=[FINALIZER]))
        api.remove(url)
        response = api.patch(url, {"metadata": {"finalizers": [FINALIZER, "example.com/more"]}})
        failure(response, 422, "Invalid")
        api.merge(url, {"metadata": {"finalizers": []}})

    def test_the_mark_cannot_be_forged(self, api: Api, namespace: str) -> None:
        created = api.create(path(URL, namespace), lease("cm", deletionTimestamp="2030-01-01T00:00:00Z"))
        assert "deletionTimestamp" not in created["metadata"]

    def test_each_has_to_go(self, api: Api, namespace: str) -> None:
        url = path(URL, namespace, "cm")
        api.create(path(URL, namespace), lease("cm", finalizers=[FINALIZER, "example.com/b"]))
        api.remove(url)
        api.merge(url, {"metadata": {"finalizers": ["example.com/b"]}})
        assert api.read(url)["metadata"]["finalizers"] == ["example.com/b"]
        api.merge(url, {"metadata": {"finalizers": []}})
        assert api.gone(url)

    def test_deletion_counts_as_a_generation(self, api: Api, namespace: str) -> None:
        from kube_api import deployment

        body = deployment("d", paused=True)
        body["metadata"]["finalizers"] = [FINALIZER]
        api.create(path("deployments", namespace), body)
        url = path("deployments", namespace, "d")
        assert api.remove(url)["metadata"]["generation"] == 2
        api.merge(url, {"metadata": {"finalizers": []}})


class TestGrace:
    """Pods on a node that has no kubelet: nobody confirms that they ended."""

    def test_pod_waits_for_its_kubelet(self, api: Api, namespace: str) -> None:
        url = path("pods", namespace, "p")
        api.create(path("pods", namespace), pod("p", nodeName="nowhere"))
        leaving = api.remove(url)
        assert leaving["kind"] == "Pod"
        assert leaving["metadata"]["deletionGracePeriodSeconds"] == 30
        first = leaving["metadata"]["deletionTimestamp"]
        sooner = api.remove(url, {"gracePeriodSeconds": 5})
        assert sooner["metadata"]["deletionGracePeriodSeconds"] == 5
        assert sooner["metadata"]["deletionTimestamp"] < first
        later = api.remove(url, gracePeriodSeconds=60)
        assert later["metadata"]["deletionGracePeriodSeconds"] == 5
        api.remove(url, {"gracePeriodSeconds": 0})
        assert api.gone(url)

    def test_own_grace(self, api: Api, namespace: str) -> None:
        url = path("pods", namespace, "p")
        api.create(path("pods", namespace), pod("p", nodeName="nowhere", terminationGracePeriodSeconds=7))
        assert api.remove(url)["metadata"]["deletionGracePeriodSeconds"] == 7
        api.remove(url, {"gracePeriodSeconds": 0})

    def test_pod_without_a_node_goes_at_once(self, api: Api, namespace: str) -> None:
        api.create(path("pods", namespace), pod("p", nodeSelector={"no": "where"}))
        api.remove(path("pods", namespace, "p"))
        assert api.gone(path("pods", namespace, "p"))

    def test_finished_pod_goes_at_once(self, api: Api, namespace: str) -> None:
        url = path("pods", namespace, "p")
        api.create(path("pods", namespace), pod("p", nodeName="nowhere", restartPolicy="Never"))
        api.merge(f"{url}/status", {"status": {"phase": "Succeeded"}})
        api.remove(url)
        assert api.gone(url)

    def test_negative_grace_is_refused_or_one(self, api: Api, namespace: str) -> None:
        """Kubernetes takes less than zero as the shortest grace there is."""
        url = path("pods", namespace, "p")
        api.create(path("pods", namespace), pod("p", nodeName="nowhere"))
        response = api.delete(url, {"gracePeriodSeconds": -1})
        if response.status_code == 200:
            assert response.json()["metadata"]["deletionGracePeriodSeconds"] in (1, 0)
        else:
            failure(response, 422, "Invalid")
        api.delete(url, {"gracePeriodSeconds": 0})


@pytest.mark.usefixtures("controllers")
class TestOwners:
    def owner(self, api: Api, namespace: str) -> Obj:
        return api.create(path(URL, namespace), lease("owner"))

    def test_background(self, api: Api, namespace: str) -> None:
        owner = self.owner(api, namespace)
        for name in ("a", "b"):
            api.create(path(URL, namespace), lease(name, ownerReferences=owned_by(owner)))
        api.remove(path(URL, namespace, "owner"), {"propagationPolicy": "Background"})
        assert api.gone(path(URL, namespace, "owner"))
        for name in ("a", "b"):
            wait_for(f"{name} is collected", lambda name=name: api.gone(path(URL, namespace, name)))

    def test_background_is_the_default(self, api: Api, namespace: str) -> None:
        owner = self.owner(api, namespace)
        api.create(path(URL, namespace), lease("a", ownerReferences=owned_by(owner)))
        api.remove(path(URL, namespace, "owner"))
        wait_for("collected", lambda: api.gone(path(URL, namespace, "a")))

    def test_foreground(self, api: Api, namespace: str) -> None:
        """The owner waits for those that block it."""
        owner = self.owner(api, namespace)
        body = lease("a", ownerReferences=owned_by(owner, blockOwnerDeletion=True), finalizers=[FINALIZER])
        api.create(path(URL, namespace), body)
        marked = api.remove(path(URL, namespace, "owner"), {"propagationPolicy": "Foreground"})
        assert marked["metadata"]["finalizers"] == ["foregroundDeletion"]
        assert "deletionTimestamp" in marked["metadata"]
        held = path(URL, namespace, "a")
        wait_for("dependent is deleted", lambda: "deletionTimestamp" in api.read(held)["metadata"])
        assert not api.gone(path(URL, namespace, "owner"))
        api.merge(held, {"metadata": {"finalizers": []}})
        wait_for("owner follows", lambda: api.gone(path(URL, namespace, "owner")))
        assert api.gone(held)

    def test_orphan(self, api: Api, namespace: str) -> None:
        owner = self.owner(api, namespace)
        api.create(path(URL, namespace), lease("a", ownerReferences=owned_by(owner)))
        api.remove(path(URL, namespace, "owner"), {"propagationPolicy": "Orphan"})
        wait_for("owner goes", lambda: api.gone(path(URL, namespace, "owner")))
        url = path(URL, namespace, "a")
        wait_for("reference goes", lambda: not api.read(url)["metadata"].get("ownerReferences"))

    def test_chain(self, api: Api, namespace: str) -> None:
        owner = self.owner(api, namespace)
        middle = api.create(path(URL, namespace), lease("middle", ownerReferences=owned_by(owner)))
        api.create(path(URL, namespace), lease("last", ownerReferences=owned_by(middle)))
        api.remove(path(URL, namespace, "owner"))
        wait_for("collected", lambda: api.gone(path(URL, namespace, "last")))

    def test_one_of_two_owners(self, api: Api, namespace: str) -> None:
        owner = self.owner(api, namespace)
        other = api.create(path(URL, namespace), lease("other"))
        both = owned_by(owner) + owned_by(other)
        api.create(path(URL, namespace), lease("a", ownerReferences=both))
        api.remove(path(URL, namespace, "owner"))
        url = path(URL, namespace, "a")
        wait_for("one reference is left", lambda: len(api.read(url)["metadata"].get("ownerReferences", ())) == 1)
        api.remove(path(URL, namespace, "other"))
        wait_for("collected", lambda: api.gone(url))

    def test_owner_that_never_was(self, api: Api, namespace: str) -> None:
        owner = lease("ghost", uid="11111111-2222-3333-4444-555555555555")
        api.create(path(URL, namespace), lease("a", ownerReferences=owned_by(owner)))
        wait_for("collected", lambda: api.gone(path(URL, namespace, "a")))

    def test_owner_of_the_same_name_is_not_the_owner(self, api: Api, namespace: str) -> None:
        first = self.owner(api, namespace)
        api.remove(path(URL, namespace, "owner"))
        second = self.owner(api, namespace)
        api.create(path(URL, namespace), lease("stale", ownerReferences=owned_by(first)))
        api.create(path(URL, namespace), lease("fresh", ownerReferences=owned_by(second)))
        wait_for("collected", lambda: api.gone(path(URL, namespace, "stale")))
        assert not api.gone(path(URL, namespace, "fresh"))

    def test_across_kinds(self, api: Api, namespace: str) -> None:
        owner = self.owner(api, namespace)
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s", "ownerReferences": owned_by(owner, controller=True)},
        }
        api.create(path("secrets", namespace), body)
        api.remove(path(URL, namespace, "owner"))
        wait_for("collected", lambda: api.gone(path("secrets", namespace, "s")))


def test_unknown_policy(api: Api, namespace: str) -> None:
    api.create(path(URL, namespace), lease("cm"))
    failure(api.delete(path(URL, namespace, "cm"), {"propagationPolicy": "Sideways"}), 422, "Invalid")


def test_only_one_controller(api: Api, namespace: str) -> None:
    references = []
    for name in ("o1", "o2"):
        owner = api.create(path(URL, namespace), lease(name))
        references += owned_by(owner, controller=True)
    failure(api.post(path(URL, namespace), lease("cm", ownerReferences=references)), 422, "Invalid")
