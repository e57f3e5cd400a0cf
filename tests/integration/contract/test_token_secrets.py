"""Tokens that are kept in Secrets: they do not expire, and end with their Secret or their ServiceAccount."""

from __future__ import annotations

import base64

import pytest
from kube_api import Api, Obj, failure, path, wait_for
from kube_targets import Target

WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


@pytest.fixture
def secret(controllers: None, api: Api, namespace: str) -> Obj:
    api.create(
        path("serviceaccounts", namespace),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}},
    )
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "robot-token", "annotations": {"kubernetes.io/service-account.name": "robot"}},
    }
    api.create(path("secrets", namespace), body)
    return wait_for("the Secret holds a token", lambda: filled(api, namespace))


def filled(api: Api, namespace: str) -> Obj | None:
    found = api.read(path("secrets", namespace, "robot-token"))
    return found if (found.get("data") or {}).get("token") else None


def token(secret: Obj) -> str:
    return base64.b64decode(secret["data"]["token"]).decode()


def test_is_filled_for_its_account(api: Api, namespace: str, secret: Obj) -> None:
    account = api.read(path("serviceaccounts", namespace, "robot"))
    assert secret["metadata"]["annotations"]["kubernetes.io/service-account.uid"] == account["metadata"]["uid"]
    assert base64.b64decode(secret["data"]["namespace"]).decode() == namespace
    assert b"BEGIN CERTIFICATE" in base64.b64decode(secret["data"]["ca.crt"])


def test_is_its_account(target: Target, namespace: str, secret: Obj) -> None:
    info = target.token(token(secret)).create(WHOAMI, {})["status"]["userInfo"]
    assert info["username"] == f"system:serviceaccount:{namespace}:robot"


def test_ends_with_its_secret(target: Target, api: Api, namespace: str, secret: Obj) -> None:
    robot = target.token(token(secret))
    robot.create(WHOAMI, {})
    api.remove(path("secrets", namespace, "robot-token"))
    wait_for("the token is refused", lambda: robot.post(WHOAMI, {}).status_code == 401)
    failure(robot.post(WHOAMI, {}), 401, "Unauthorized")


def test_goes_with_its_account(api: Api, namespace: str, secret: Obj) -> None:
    api.remove(path("serviceaccounts", namespace, "robot"))
    wait_for("the Secret is gone", lambda: api.gone(path("secrets", namespace, "robot-token")))
