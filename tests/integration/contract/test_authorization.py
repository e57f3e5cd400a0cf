"""RBAC: who may do what, and reviews of that."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from kube_api import APPLY, Api, Obj, config_map, failure, path, wait_for
from kube_rbac import RBAC, binding, grant, review, role, rule, user
from kube_targets import Target

_COUNTER = itertools.count(1)


@pytest.fixture
def name() -> str:
    return f"user-{next(_COUNTER)}"


@pytest.fixture
def person(target: Target, name: str) -> Api:
    return target.user(name)


class TestRights:
    def test_none_by_default(self, person: Api, name: str, namespace: str) -> None:
        status = failure(person.get(path("configmaps", namespace)), 403, "Forbidden")
        assert status["message"] == (
            f'configmaps is forbidden: User "{name}" cannot list resource "configmaps" in API group "" '
            f'in the namespace "{namespace}"'
        )
        status = failure(person.get(path("deployments", namespace, "d")), 403, "Forbidden")
        assert status["message"] == (
            f'deployments.apps "d" is forbidden: User "{name}" cannot get resource "deployments" '
            f'in API group "apps" in the namespace "{namespace}"'
        )
        assert status["details"] == {"name": "d", "group": "apps", "kind": "deployments"}
        failure(person.post(path("configmaps", namespace), config_map("cm")), 403, "Forbidden")

    def test_of_a_role(self, api: Api, person: Api, name: str, namespace: str) -> None:
        grant(api, namespace, user(name), rule(["get", "create"], ["configmaps"]))
        person.create(path("configmaps", namespace), config_map("cm"))
        url = path("configmaps", namespace, "cm")
        person.read(url)
        failure(person.get(path("configmaps", namespace)), 403, "Forbidden")
        failure(person.put(url, config_map("cm")), 403, "Forbidden")
        failure(person.patch(url, {}), 403, "Forbidden")
        failure(person.delete(url), 403, "Forbidden")
        failure(person.delete(path("configmaps", namespace)), 403, "Forbidden")
        failure(person.get(path("configmaps", "default", "cm")), 403, "Forbidden")
        failure(person.get(path("secrets", namespace, "cm")), 403, "Forbidden")

    def test_watch_is_a_verb(self, api: Api, person: Api, name: str, namespace: str) -> None:
        grant(api, namespace, user(name), rule(["list"], ["configmaps"]))
        person.read(path("configmaps", namespace))
        status = failure(person.get(path("configmaps", namespace), watch="true"), 403, "Forbidden")
        assert "cannot watch resource" in status["message"]

    def test_apply_may_create(self, api: Api, person: Api, name: str, namespace: str) -> None:
        """What an apply makes anew needs the right to create."""
        grant(api, namespace, user(name), rule(["patch", "get"], ["configmaps"]))
        url = path("configmaps", namespace, "cm")
        failure(person.patch(url, config_map("cm"), APPLY, fieldManager="m"), 403, "Forbidden")
        api.create(path("configmaps", namespace), config_map("cm"))
        assert person.patch(url, config_map("cm"), APPLY, fieldManager="m").status_code == 200

    def test_of_names(self, api: Api, person: Api, name: str, namespace: str) -> None:
        grant(api, namespace, user(name), rule(["get", "list", "watch"], ["configmaps"], "mine"))
        for made in ("mine", "yours"):
            api.create(path("configmaps", namespace), config_map(made))
        person.read(path("configmaps", namespace, "mine"))
        failure(person.get(path("configmaps", namespace, "yours")), 403, "Forbidden")
        failure(person.get(path("configmaps", namespace)), 403, "Forbidden")
        listing = person.read(path("configmaps", namespace), fieldSelector="metadata.name=mine")
        assert len(listing["items"]) == 1

    def test_of_subresources(self, api: Api, person: Api, name: str, namespace: str) -> None:
        from kube_api import deployment

        api.create(path("deployments", namespace), deployment("d", paused=True, replicas=0))
        grant(api, namespace, user(name), rule(["get"], ["deployments/scale"], group="apps"))
        person.read(path("deployments", namespace, "d", "scale"))
        failure(person.get(path("deployments", namespace, "d")), 403, "Forbidden")
        status = failure(person.patch(path("deployments", namespace, "d", "scale"), {}), 403, "Forbidden")
        assert 'cannot patch resource "deployments/scale"' in status["message"]

    @pytest.mark.parametrize(
        "rules",
        [
            rule(["*"], ["configmaps"]),
            rule(["get"], ["*"]),
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        ],
    )
    def test_wildcards(self, api: Api, person: Api, name: str, namespace: str, rules: Obj) -> None:
        api.create(path("configmaps", namespace), config_map("cm"))
        grant(api, namespace, user(name), rules)
        person.read(path("configmaps", namespace, "cm"))

    def test_of_a_group(self, target: Target, api: Api, namespace: str) -> None:
        grant(api, namespace, {"apiGroup": RBAC, "kind": "Group", "name": "readers"}, rule(["list"], ["configmaps"]))
        target.user("member", "readers").read(path("configmaps", namespace))
        failure(target.user("outsider", "writers").get(path("configmaps", namespace)), 403, "Forbidden")

    def test_of_a_cluster_role_in_one_namespace(self, api: Api, person: Api, name: str, namespace: str) -> None:
        api.create(path("clusterroles"), role(f"cr-{name}", rule(["list"], ["configmaps"]), kind="ClusterRole"))
        api.create(path("rolebindings", namespace), binding("b", f"cr-{name}", user(name), role_kind="ClusterRole"))
        wait_for("right counts", lambda: person.get(path("configmaps", namespace)).status_code == 200)
        failure(person.get(path("configmaps", "default")), 403, "Forbidden")
        failure(person.get(path("configmaps")), 403, "Forbidden")
        api.remove(path("clusterroles", name=f"cr-{name}"))

    def test_of_a_cluster_role_everywhere(self, api: Api, person: Api, name: str) -> None:
        rules = [rule(["list"], ["nodes"]), {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]
        api.create(path("clusterroles"), role(f"cr-{name}", *rules, kind="ClusterRole"))
        bound = binding(f"b-{name}", f"cr-{name}", user(name), kind="ClusterRoleBinding", role_kind="ClusterRole")
        failure(person.get("/metrics"), 403, "Forbidden")
        api.create(path("clusterrolebindings"), bound)
        wait_for("right counts", lambda: person.get(path("nodes")).status_code == 200)
        assert person.get("/metrics").status_code in (200, 404)
        api.remove(path("clusterrolebindings", name=f"b-{name}"))
        wait_for("right is taken back", lambda: person.get(path("nodes")).status_code == 403)
        api.remove(path("clusterroles", name=f"cr-{name}"))

    @pytest.mark.parametrize("known", ["cluster-admin", "admin", "edit", "view"])
    def test_roles_for_people_are_there(self, api: Api, known: str) -> None:
        assert api.read(path("clusterroles", name=known))["kind"] == "ClusterRole"

    @pytest.mark.usefixtures("controllers")  # what these roles hold is aggregated by one
    def test_admin_edit_and_view(self, target: Target, api: Api, namespace: str) -> None:
        people = {}
        for known in ("admin", "edit", "view"):
            api.create(
                path("rolebindings", namespace),
                binding(known, known, user(f"{known}-{namespace}"), role_kind="ClusterRole"),
            )
            people[known] = target.user(f"{known}-{namespace}")
        for person in people.values():
            url = path("configmaps", namespace)
            wait_for("right counts", lambda person=person, url=url: person.get(url).status_code == 200)
        failure(people["view"].get(path("secrets", namespace)), 403, "Forbidden")
        failure(people["view"].post(path("configmaps", namespace), config_map("cm")), 403, "Forbidden")
        people["edit"].create(path("configmaps", namespace), config_map("cm"))
        failure(people["edit"].post(path("roles", namespace), role("r")), 403, "Forbidden")
        people["admin"].create(path("roles", namespace), role("r", rule(["get"], ["pods"])))


class TestReviews:
    def test_own_access(self, api: Api, person: Api, name: str, namespace: str) -> None:
        grant(api, namespace, user(name), rule(["get"], ["configmaps"]))

        def allowed(**attributes: Any) -> bool:
            spec = {"resourceAttributes": {"namespace": namespace, "resource": "configmaps", **attributes}}
            return bool(review(person, "SelfSubjectAccessReview", spec)["status"]["allowed"])

        assert allowed(verb="get")
        assert allowed(verb="get", name="any")
        assert not allowed(verb="list")
        assert not allowed(verb="get", namespace="default")
        assert not allowed(verb="get", group="apps")
        assert not allowed(verb="get", subresource="status")
        spec = {"nonResourceAttributes": {"path": "/version", "verb": "get"}}
        assert review(person, "SelfSubjectAccessReview", spec)["status"]["allowed"]

    def test_anothers_access(self, api: Api, person: Api, name: str, namespace: str) -> None:
        grant(api, namespace, user(name), rule(["get"], ["configmaps"]))
        attributes = {"namespace": namespace, "resource": "configmaps", "verb": "get"}
        spec = {"user": name, "resourceAttributes": attributes}
        found = review(api, "SubjectAccessReview", spec)["status"]
        assert found["allowed"] is True
        assert f'"{name}"' in found["reason"]
        assert not review(api, "SubjectAccessReview", {**spec, "user": "other"})["status"]["allowed"]
        masters = {**spec, "user": "other", "groups": ["system:masters"]}
        assert review(api, "SubjectAccessReview", masters)["status"]["allowed"]
        assert review(api, "LocalSubjectAccessReview", spec, namespace)["status"]["allowed"]
        response = person.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})
        failure(response, 403, "Forbidden")

    def test_a_review_has_a_subject_and_one_question(self, api: Api) -> None:
        url = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        for spec in (
            {"user": "x"},
            {"resourceAttributes": {"verb": "get"}},
            {
                "user": "x",
                "resourceAttributes": {"verb": "get"},
                "nonResourceAttributes": {"verb": "get", "path": "/"},
            },
        ):
            assert api.post(url, {"spec": spec}).status_code in (400, 422)

    def test_own_rules(self, api: Api, person: Api, name: str, namespace: str) -> None:
        grant(api, namespace, user(name), rule(["get"], ["configmaps"], "a", "b"))
        found = review(person, "SelfSubjectRulesReview", {"namespace": namespace})["status"]
        assert found["incomplete"] is False
        assert rule(["get"], ["configmaps"], "a", "b") in found["resourceRules"]
        assert any("/version" in rules["nonResourceURLs"] for rules in found["nonResourceRules"])

    def test_who_am_i(self, target: Target) -> None:
        person = target.user("somebody", "g1", "g2")
        url = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        found = person.create(url, {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
        info = found["status"]["userInfo"]
        assert info["username"] == "somebody"
        assert set(info["groups"]) == {"g1", "g2", "system:authenticated"}


def test_local_reviews_are_of_their_namespace(api: Api, namespace: str) -> None:
    url = f"/apis/authorization.k8s.io/v1/namespaces/{namespace}/localsubjectaccessreviews"
    asked = {"verb": "get", "resource": "pods", "namespace": namespace}
    answer = api.create(
        url, {"metadata": {"namespace": namespace}, "spec": {"user": "joe", "resourceAttributes": asked}}
    )
    assert answer["status"]["allowed"] is False
    body = {"spec": {"user": "joe", "resourceAttributes": {**asked, "namespace": "other"}}}
    failure(api.post(url, body), 422, "Invalid")
