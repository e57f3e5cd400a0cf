"""RBAC: who may do what, who may grant what, and reviews of that."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from kube_api import APPLY, Api, Obj, config_map, failure, path, wait_for
from kube_targets import Target

RBAC = "rbac.authorization.k8s.io"
_COUNTER = itertools.count(1)


def rule(verbs: list[str], resources: list[str], *names: str, group: str = "") -> Obj:
    made: Obj = {"apiGroups": [group], "resources": resources, "verbs": verbs}
    if names:
        made["resourceNames"] = list(names)
    return made


def role(name: str, *rules: Obj, kind: str = "Role") -> Obj:
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": {"name": name}, "rules": list(rules)}


def binding(name: str, role_name: str, *subjects: Obj, kind: str = "RoleBinding", role_kind: str = "Role") -> Obj:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": kind,
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": role_kind, "name": role_name},
        "subjects": list(subjects),
    }


def user(name: str) -> Obj:
    return {"apiGroup": RBAC, "kind": "User", "name": name}


def grant(api: Api, namespace: str, subject: Obj, *rules: Obj) -> None:
    """Gives a subject rights in a namespace, and waits until they count: Kubernetes learns of them by a watch."""
    name = f"grant-{next(_COUNTER)}"
    api.create(path("roles", namespace), role(name, *rules))
    witness = f"witness-of-{name}"
    api.create(path("rolebindings", namespace), binding(name, name, subject, user(witness)))
    resource, _, subresource = rules[0]["resources"][0].partition("/")
    asked = {
        "namespace": namespace,
        "verb": rules[0]["verbs"][0],
        "group": rules[0]["apiGroups"][0],
        "resource": resource,
        "subresource": subresource,
        "name": (rules[0].get("resourceNames") or [""])[0],
    }
    spec = {"user": witness, "resourceAttributes": asked}
    wait_for("rights count", lambda: review(api, "SubjectAccessReview", spec)["status"]["allowed"])


def review(api: Api, kind: str, spec: Obj, namespace: str = "") -> Obj:
    scope = f"/namespaces/{namespace}" if namespace else ""
    url = f"/apis/authorization.k8s.io/v1{scope}/{kind.lower()}s"
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
    return api.create(url, body)


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


class TestEscalation:
    def test_roles_grant_no_more_than_their_maker_has(self, api: Api, person: Api, name: str, namespace: str) -> None:
        grant(
            api,
            namespace,
            user(name),
            rule(["get", "create", "update", "patch"], ["roles", "rolebindings"], group=RBAC),
            rule(["get", "list"], ["configmaps"]),
        )
        person.create(path("roles", namespace), role("less", rule(["get"], ["configmaps"])))
        response = person.post(path("roles", namespace), role("more", rule(["get"], ["secrets"])))
        status = failure(response, 403, "Forbidden")
        assert "is attempting to grant RBAC permissions not currently held" in status["message"]
        assert f'user "{name}"' in status["message"]
        wider = {"rules": [rule(["get", "delete"], ["configmaps"])]}
        failure(person.patch(path("roles", namespace, "less"), wider), 403, "Forbidden")
        person.merge(path("roles", namespace, "less"), {"rules": [rule(["list"], ["configmaps"])]})

    def test_escalate_is_a_verb(self, api: Api, person: Api, name: str, namespace: str) -> None:
        grant(api, namespace, user(name), rule(["create", "escalate"], ["roles"], group=RBAC))
        person.create(path("roles", namespace), role("more", rule(["get"], ["secrets"])))

    def test_bindings_grant_no_more_than_their_maker_has(
        self, api: Api, person: Api, name: str, namespace: str
    ) -> None:
        grant(api, namespace, user(name), rule(["create"], ["rolebindings"], group=RBAC))
        api.create(path("roles", namespace), role("secretive", rule(["get"], ["secrets"])))
        made = binding("mine", "secretive", user(name))
        failure(person.post(path("rolebindings", namespace), made), 403, "Forbidden")
        admin = binding("mine", "cluster-admin", user(name), role_kind="ClusterRole")
        failure(person.post(path("rolebindings", namespace), admin), 403, "Forbidden")
        grant(api, namespace, user(name), rule(["bind"], ["roles"], "secretive", group=RBAC))
        person.create(path("rolebindings", namespace), made)

    def test_bound_role_is_fixed(self, api: Api, name: str, namespace: str) -> None:
        for made in ("r1", "r2"):
            api.create(path("roles", namespace), role(made))
        api.create(path("rolebindings", namespace), binding("b", "r1", user(name)))
        response = api.put(path("rolebindings", namespace, "b"), binding("b", "r2", user(name)))
        failure(response, 422, "Invalid")


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
