"""RBAC: nobody grants what he does not hold, whichever verb and whichever form of an object he tries it with."""

from __future__ import annotations

import itertools

import pytest
from kube_api import APPLY, JSON_PATCH, STRATEGIC, Api, Obj, failure, path, wait_for
from kube_rbac import RBAC, binding, grant, role, rule, user
from kube_targets import Target

_COUNTER = itertools.count(1)
EVERYTHING = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}


@pytest.fixture
def name() -> str:
    return f"author-{next(_COUNTER)}"


@pytest.fixture
def person(target: Target, name: str) -> Api:
    return target.user(name)


@pytest.fixture
def admin(api: Api, person: Api, name: str, namespace: str) -> Api:
    """Who may write all roles and bindings of the namespace, and holds little else."""
    verbs = ["get", "list", "create", "update", "patch", "delete"]
    grant(api, namespace, user(name), rule(verbs, ["roles", "rolebindings"], group=RBAC))
    return person


class TestGrants:
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


class TestWaysRound:
    """Forms of a write whose object comes about otherwise than it was sent."""

    @pytest.mark.parametrize("metadata", [{}, {"metadata": None}, {"metadata": {}}])
    def test_without_metadata(self, api: Api, admin: Api, namespace: str, metadata: Obj) -> None:
        api.create(path("roles", namespace), role("mine"))
        more = {"apiVersion": f"{RBAC}/v1", "kind": "Role", "rules": [EVERYTHING], **metadata}
        assert admin.put(path("roles", namespace, "mine"), more).status_code in (400, 403)
        for made in ("mine", "new"):
            answer = admin.patch(path("roles", namespace, made), more, APPLY, fieldManager="m", force="true")
            assert answer.status_code in (400, 403), answer.text
        assert not api.read(path("roles", namespace, "mine")).get("rules")
        assert api.gone(path("roles", namespace, "new"))

    def test_a_put_needs_a_name(self, api: Api, namespace: str) -> None:
        api.create(path("roles", namespace), role("r"))
        nameless = {"apiVersion": f"{RBAC}/v1", "kind": "Role", "rules": []}
        status = failure(api.put(path("roles", namespace, "r"), nameless), 400, "BadRequest")
        assert "the name of the object (r based on URL) was undeterminable" in status["message"]

    @pytest.mark.parametrize(
        "rules", ["all", [None], ["x"], [{"verbs": "*"}], {"a": 1}, [{"verbs": ["*"], "apiGroups": 7}]]
    )
    def test_malformed_rules(self, api: Api, admin: Api, namespace: str, rules: object) -> None:
        made = {**role("mine"), "rules": rules}
        assert 400 <= admin.post(path("roles", namespace), made).status_code < 500
        assert admin.patch(path("roles", namespace, "mine"), made, APPLY, fieldManager="m").status_code >= 400
        assert api.gone(path("roles", namespace, "mine"))

    def test_an_applied_part_of_a_binding(self, api: Api, admin: Api, name: str, namespace: str) -> None:
        """The subject alone is harmless, but not in the binding that it becomes part of."""
        api.create(path("rolebindings", namespace), binding("b", "cluster-admin", role_kind="ClusterRole"))
        url = path("rolebindings", namespace, "b")
        patch = {"apiVersion": f"{RBAC}/v1", "kind": "RoleBinding", "metadata": {"name": "b"}, "subjects": [user(name)]}
        failure(admin.patch(url, patch, APPLY, fieldManager="m", force="true"), 403, "Forbidden")
        subjects = {"subjects": [user(name)]}
        failure(admin.patch(url, subjects), 403, "Forbidden")
        failure(admin.patch(url, subjects, STRATEGIC), 403, "Forbidden")
        failure(
            admin.patch(url, [{"op": "add", "path": "/subjects", "value": [user(name)]}], JSON_PATCH), 403, "Forbidden"
        )
        failure(admin.patch(url, subjects, dryRun="All"), 403, "Forbidden")
        assert not api.read(url).get("subjects")

    def test_an_applied_part_of_a_role(self, api: Api, admin: Api, namespace: str) -> None:
        url = path("roles", namespace, "r")
        api.apply(url, role("r", rule(["get"], ["pods"])), "other")
        applied = {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": {"name": "r", "labels": {"a": "b"}}}
        failure(admin.patch(url, applied, APPLY, fieldManager="m"), 403, "Forbidden")

    def test_finalizers_and_owners_need_no_rights(self, api: Api, admin: Api, namespace: str) -> None:
        """What only matters to the collection of an object grants nothing."""
        api.create(path("roles", namespace), role("r", rule(["get"], ["secrets"])))
        url = path("roles", namespace, "r")
        admin.merge(url, {"metadata": {"finalizers": ["example.org/kept"]}})
        admin.merge(url, {"metadata": {"finalizers": None}})
        failure(admin.patch(url, {"metadata": {"labels": {"a": "b"}}}), 403, "Forbidden")


class TestAbsentRoles:
    """Nobody knows what a role will give that is not there yet."""

    @pytest.mark.parametrize("kind", ["Role", "ClusterRole"])
    def test_are_not_bound(self, api: Api, admin: Api, name: str, namespace: str, kind: str) -> None:
        made = binding("early", "not-there-yet", user(name), role_kind=kind)
        failure(admin.post(path("rolebindings", namespace), made), 404, "NotFound")
        assert api.gone(path("rolebindings", namespace, "early"))

    def test_are_bound_by_who_may_bind_them(self, api: Api, admin: Api, name: str, namespace: str) -> None:
        grant(api, namespace, user(name), rule(["bind"], ["roles"], "later", group=RBAC))
        admin.create(path("rolebindings", namespace), binding("early", "later", user(name)))

    def test_are_bound_by_who_may_do_everything(self, api: Api, namespace: str) -> None:
        api.create(path("rolebindings", namespace), binding("early", "later", user("somebody")))


class TestSubjects:
    def test_a_star_is_a_name_as_any_other(self, target: Target, api: Api, namespace: str) -> None:
        witness = f"witness-{namespace}"
        api.create(path("roles", namespace), role("r", rule(["list"], ["configmaps"])))
        api.create(path("rolebindings", namespace), binding("b", "r", user("*"), user(witness)))
        url = path("configmaps", namespace)
        wait_for("right counts", lambda: target.user(witness).get(url).status_code == 200)
        failure(target.user("somebody").get(url), 403, "Forbidden")
        failure(target.anonymous().get(url), 403, "Forbidden")
