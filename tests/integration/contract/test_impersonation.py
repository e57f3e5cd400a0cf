"""Impersonation: who acts as whom, and the rights that each part of it needs."""

from __future__ import annotations

import itertools
import json
from typing import Any

import httpx
import pytest
from kube_api import Api, Obj, answer, failure, path, wait_for
from kube_rbac import binding, grant, role, rule, user
from kube_targets import Target

_COUNTER = itertools.count(1)
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
AUTHENTICATION = "authentication.k8s.io"


def acting(api: Api, *headers: tuple[str, str]) -> httpx.Response:
    """Who the server takes the caller for."""
    return api.http.post(WHO, json=REVIEW, headers=[(f"Impersonate-{name}", value) for name, value in headers])


def who(response: httpx.Response) -> Obj:
    info: Obj = answer(response, 201)["status"]["userInfo"]
    return info


@pytest.fixture
def name() -> str:
    return f"actor-{next(_COUNTER)}"


@pytest.fixture
def person(target: Target, name: str) -> Api:
    return target.user(name)


def allow(api: Api, name: str, *rules: Obj) -> None:
    """Gives a user rights everywhere, and waits until they count."""
    made = f"allow-{name}-{next(_COUNTER)}"
    probe = {"nonResourceURLs": [f"/probe/{made}"], "verbs": ["get"]}
    api.create(path("clusterroles"), role(made, *rules, probe, kind="ClusterRole"))
    bound = binding(made, made, user(name), kind="ClusterRoleBinding", role_kind="ClusterRole")
    api.create(path("clusterrolebindings"), bound)
    spec = {"user": name, "nonResourceAttributes": {"path": f"/probe/{made}", "verb": "get"}}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    url = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    wait_for("rights count", lambda: api.create(url, body)["status"]["allowed"])


class TestUsers:
    def test_need_the_right(self, person: Api) -> None:
        failure(acting(person, ("User", "jane")), 403, "Forbidden")

    def test_act_with_no_groups_of_their_own(self, api: Api, person: Api, name: str) -> None:
        allow(api, name, rule(["impersonate"], ["users"], "jane"))
        info = who(acting(person, ("User", "jane")))
        assert (info["username"], info["groups"]) == ("jane", ["system:authenticated"])
        failure(acting(person, ("User", "joe")), 403, "Forbidden")

    def test_groups_need_rights(self, api: Api, person: Api, name: str) -> None:
        allow(api, name, rule(["impersonate"], ["users"]), rule(["impersonate"], ["groups"], "developers"))
        info = who(acting(person, ("User", "jane"), ("Group", "developers")))
        assert set(info["groups"]) == {"developers", "system:authenticated"}
        for group in ("system:masters", "system:nodes", "other"):
            failure(acting(person, ("User", "jane"), ("Group", "developers"), ("Group", group)), 403, "Forbidden")

    def test_extras_and_uids_need_rights(self, api: Api, person: Api, name: str) -> None:
        allow(api, name, rule(["impersonate"], ["users"]))
        failure(acting(person, ("User", "jane"), ("Uid", "u1")), 403, "Forbidden")
        failure(acting(person, ("User", "jane"), ("Extra-scopes", "view")), 403, "Forbidden")
        allow(
            api,
            name,
            rule(["impersonate"], ["uids"], "u1", group=AUTHENTICATION),
            rule(["impersonate"], ["userextras/scopes"], "view", group=AUTHENTICATION),
        )
        headers = ("User", "jane"), ("Uid", "u1"), ("Extra-scopes", "view")
        info = who(acting(person, *headers))
        assert (info["uid"], info["extra"]) == ("u1", {"scopes": ["view"]})
        failure(acting(person, *headers, ("Extra-scopes", "write")), 403, "Forbidden")
        failure(acting(person, ("User", "jane"), ("Uid", "u2")), 403, "Forbidden")

    def test_extras_have_escaped_names(self, api: Api) -> None:
        info = who(acting(api, ("User", "jane"), ("Extra-example.org%2fScopes", "view")))
        assert info["extra"] == {"example.org/scopes": ["view"]}

    @pytest.mark.parametrize("header", [("Group", "developers"), ("Uid", "u1"), ("Extra-scopes", "view")])
    def test_are_named(self, api: Api, header: tuple[str, str]) -> None:
        status = failure(acting(api, header), 400, "BadRequest")
        assert "without impersonating a user" in status["message"]

    def test_nobody_in_particular(self, api: Api) -> None:
        info = who_or_denied(acting(api, ("User", "system:anonymous")))
        assert info == "system:anonymous"


def who_or_denied(response: httpx.Response) -> str:
    """The name of whom the server takes the caller for, who may not even ask who he is."""
    message: str = failure(response, 403, "Forbidden")["message"]
    return message.partition('User "')[2].partition('"')[0]


class TestServiceAccounts:
    @pytest.fixture
    def account(self, target: Target, api: Api, namespace: str) -> Api:
        """A ServiceAccount that may edit its namespace, and so act as its ServiceAccounts."""
        meta = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "editor"}}
        api.create(path("serviceaccounts", namespace), meta)
        subject = {"kind": "ServiceAccount", "name": "editor", "namespace": namespace}
        grant(api, namespace, subject, rule(["impersonate"], ["serviceaccounts"]))
        url = path("serviceaccounts", namespace, "editor", "token")
        body: dict[str, Any] = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        return target.token(api.create(url, body)["status"]["token"])

    def test_have_their_groups(self, account: Api, namespace: str) -> None:
        info = who(acting(account, ("User", f"system:serviceaccount:{namespace}:other")))
        assert info["username"] == f"system:serviceaccount:{namespace}:other"
        groups = {"system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"}
        assert set(info["groups"]) == groups

    @pytest.mark.parametrize("group", ["system:masters", "system:nodes", "system:serviceaccounts"])
    def test_other_groups_need_rights(self, account: Api, namespace: str, group: str) -> None:
        headers = ("User", f"system:serviceaccount:{namespace}:default"), ("Group", group)
        failure(acting(account, *headers), 403, "Forbidden")

    @pytest.mark.parametrize(
        "wanted", ["system:serviceaccount:kube-system:default", "system:serviceaccount:x", "system:serviceaccount:x:"]
    )
    def test_of_elsewhere_need_rights(self, account: Api, wanted: str) -> None:
        failure(acting(account, ("User", wanted)), 403, "Forbidden")

    def test_a_name_out_of_shape_is_an_ordinary_user(self, account: Api, namespace: str) -> None:
        failure(acting(account, ("User", f"system:serviceaccount:{namespace}:NOT_ONE")), 403, "Forbidden")


def test_the_audit_log_names_both(target: Target, api: Api, namespace: str) -> None:
    """Who acted is written down, and not only as whom."""
    if target.embedded is None:
        pytest.skip("reads the log of the embedded engine")
    url = path("configmaps", namespace)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm"}}
    headers = {"Impersonate-User": "jane", "Impersonate-Group": "system:masters"}
    response = api.http.post(url, json=body, headers=headers)
    answer(response, 201)
    log = target.embedded.directory / "data" / "audit.log"
    wanted = response.headers["audit-id"]

    def event() -> Obj | None:
        events = (json.loads(line) for line in log.read_text("utf-8").splitlines())
        return next((found for found in events if found.get("auditID") == wanted), None)

    found = wait_for("the request is noted", event)
    assert found["user"]["username"] == "kubernetes-admin"
    assert found["impersonatedUser"]["username"] == "jane"
    assert "system:masters" in found["impersonatedUser"]["groups"]
    plain = api.post(url, {**body, "metadata": {"name": "other"}})
    wanted = plain.headers["audit-id"]
    assert "impersonatedUser" not in wait_for("the request is noted", event)
