"""ServiceAccounts and their tokens."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from kube_api import Api, Obj, failure, path, pod, wait_for
from kube_targets import Target

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


@pytest.fixture
def account(api: Api, namespace: str) -> Obj:
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
    return api.create(path("serviceaccounts", namespace), body)


def request(api: Api, namespace: str, **spec: Any) -> Obj:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    return api.create(path("serviceaccounts", namespace, "robot", "token"), body)


def claims(token: str) -> Obj:
    part = token.split(".")[1]
    found: Obj = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def review(api: Api, token: str, *audiences: str) -> Obj:
    body = {"spec": {"token": token, "audiences": list(audiences)}}
    status: Obj = api.create(REVIEWS, body)["status"]
    return status


@pytest.mark.usefixtures("account")
class TestTokens:
    def test_are_their_owner(self, target: Target, api: Api, namespace: str) -> None:
        made = request(api, namespace)
        robot = target.token(made["status"]["token"])
        url = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        info = robot.create(url, {})["status"]["userInfo"]
        assert info["username"] == f"system:serviceaccount:{namespace}:robot"
        assert set(info["groups"]) == {
            "system:serviceaccounts",
            f"system:serviceaccounts:{namespace}",
            "system:authenticated",
        }
        failure(robot.get(path("configmaps", namespace)), 403, "Forbidden")
        bound = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "robot"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": namespace}],
        }
        api.create(path("rolebindings", namespace), bound)
        wait_for("right counts", lambda: robot.get(path("configmaps", namespace)).status_code == 200)

    def test_claims(self, api: Api, namespace: str, account: Obj) -> None:
        made = request(api, namespace, audiences=["a", "b"], expirationSeconds=1200)
        found = claims(made["status"]["token"])
        assert found["sub"] == f"system:serviceaccount:{namespace}:robot"
        assert found["aud"] == ["a", "b"]
        assert found["exp"] - found["iat"] == 1200
        assert found["kubernetes.io"]["namespace"] == namespace
        assert found["kubernetes.io"]["serviceaccount"] == {"name": "robot", "uid": account["metadata"]["uid"]}
        ends = datetime.strptime(made["status"]["expirationTimestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        assert abs(ends.timestamp() - found["exp"]) <= 1
        assert made["spec"]["expirationSeconds"] == 1200

    @pytest.mark.parametrize("seconds", [599, 2**33])
    def test_last_ten_minutes_at_least_and_not_for_ever(self, api: Api, namespace: str, seconds: int) -> None:
        body = {"spec": {"expirationSeconds": seconds}}
        failure(api.post(path("serviceaccounts", namespace, "robot", "token"), body), 422, "Invalid")

    def test_of_what_is_not_there(self, api: Api, namespace: str) -> None:
        failure(api.post(path("serviceaccounts", namespace, "none", "token"), {"spec": {}}), 404, "NotFound")

    def test_are_for_their_audience(self, target: Target, api: Api, namespace: str) -> None:
        token = request(api, namespace, audiences=["somebody-else"])["status"]["token"]
        failure(target.token(token).get("/version"), 401, "Unauthorized")

    def test_end_with_their_account(self, target: Target, api: Api, namespace: str) -> None:
        robot = target.token(request(api, namespace)["status"]["token"])
        assert robot.get("/version").status_code == 200
        api.remove(path("serviceaccounts", namespace, "robot"))
        wait_for("token ends", lambda: robot.get("/version").status_code == 401)
        # Another account of that name is another account.
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
        api.create(path("serviceaccounts", namespace), body)
        failure(robot.get("/version"), 401, "Unauthorized")

    def test_end_with_the_pod_they_are_bound_to(self, target: Target, api: Api, namespace: str) -> None:
        made = api.create(path("pods", namespace), pod("p", nodeName="nowhere", serviceAccountName="robot"))
        reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": made["metadata"]["uid"]}
        token = request(api, namespace, boundObjectRef=reference)["status"]["token"]
        assert claims(token)["kubernetes.io"]["pod"]["name"] == "p"
        robot = target.token(token)
        assert robot.get("/version").status_code == 200
        api.remove(path("pods", namespace, "p"), {"gracePeriodSeconds": 0})
        wait_for("token ends", lambda: robot.get("/version").status_code == 401)

    def test_cannot_be_altered(self, target: Target, api: Api, namespace: str) -> None:
        token = request(api, namespace)["status"]["token"]
        head, body, signature = token.split(".")
        changed = claims(token)
        changed["sub"] = "system:serviceaccount:kube-system:admin"
        forged = base64.urlsafe_b64encode(json.dumps(changed).encode()).rstrip(b"=").decode()
        none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
        for wrong in (f"{head}.{forged}.{signature}", f"{head}.{body}.AAAA", f"{none}.{body}.", f"{none}.{forged}."):
            failure(target.token(wrong).get("/version"), 401, "Unauthorized")


@pytest.mark.usefixtures("account")
class TestReviews:
    def test_good(self, api: Api, namespace: str, account: Obj) -> None:
        found = review(api, request(api, namespace)["status"]["token"])
        assert found["authenticated"] is True
        assert found["user"]["username"] == f"system:serviceaccount:{namespace}:robot"
        assert found["user"]["uid"] == account["metadata"]["uid"]
        assert found["audiences"]

    def test_audiences(self, api: Api, namespace: str) -> None:
        token = request(api, namespace, audiences=["a", "b"])["status"]["token"]
        assert review(api, token, "b", "c")["audiences"] == ["b"]
        assert not review(api, token, "c").get("authenticated")
        assert not review(api, token).get("authenticated")

    def test_bad(self, api: Api) -> None:
        found = review(api, "nonsense")
        assert not found.get("authenticated")
        assert "user" not in found or not found["user"].get("username")

    def test_need_a_token(self, api: Api) -> None:
        failure(api.post(REVIEWS, {"spec": {}}), 400, "BadRequest")


@pytest.mark.usefixtures("controllers")
def test_every_namespace_has_a_default_account(api: Api, namespace: str) -> None:
    wait_for("default account", lambda: not api.gone(path("serviceaccounts", namespace, "default")))
    api.remove(path("serviceaccounts", namespace, "default"))
    wait_for("it is made again", lambda: not api.gone(path("serviceaccounts", namespace, "default")))
