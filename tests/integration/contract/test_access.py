"""Health, and what callers without or with wrong credentials get."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from kube_api import config_map, failure, path
from kube_pki import issue_user, make_authority
from kube_targets import Target


@pytest.mark.parametrize("url", ["/healthz", "/livez", "/readyz"])
def test_health_is_public(target: Target, url: str) -> None:
    response = target.anonymous().get(url)
    assert response.status_code == 200
    assert response.text == "ok"


def test_health_can_be_verbose(target: Target) -> None:
    text = target.anonymous().get("/readyz", verbose="").text
    assert "[+]ping ok" in text
    assert text.rstrip().endswith("readyz check passed")


def test_version_is_public(target: Target) -> None:
    assert target.anonymous().get("/version").json()["gitVersion"].startswith("v1.")


@pytest.mark.parametrize(
    "url", ["/", "/api", "/apis", "/api/v1", "/openapi/v3", "/metrics", "/api/v1/namespaces", "/nonsense"]
)
def test_nothing_else_is_public(target: Target, url: str) -> None:
    failure(target.anonymous().get(url), 403, "Forbidden")


def test_anonymous_is_told_what_it_lacks(target: Target) -> None:
    status = failure(target.anonymous().get(path("pods", "default")), 403, "Forbidden")
    assert status["message"] == (
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" '
        'in the namespace "default"'
    )
    assert status["details"] == {"kind": "pods"}
    status = failure(target.anonymous().get("/metrics"), 403, "Forbidden")
    assert status["message"] == 'forbidden: User "system:anonymous" cannot get path "/metrics"'


def test_anonymous_writes_nothing(target: Target) -> None:
    failure(target.anonymous().post(path("configmaps", "default"), config_map("from-nobody")), 403, "Forbidden")


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "e30.e30.", "x" * 10_000])
def test_wrong_token(target: Target, token: str) -> None:
    """A wrong credential is not the same as none: also public paths refuse it."""
    user = target.token(token)
    status = failure(user.get(path("pods", "default")), 401, "Unauthorized")
    assert status["message"] == "Unauthorized"
    failure(user.get("/version"), 401, "Unauthorized")


def test_certificate_of_another_authority(target: Target, tmp_path: Path) -> None:
    """It is refused in the handshake or afterwards, but nobody is let in with it."""
    other = (tmp_path / "ca.crt", tmp_path / "ca.key")
    make_authority(*other)
    stranger = target.anonymous()
    stranger.context.load_cert_chain(*issue_user(other, "kubernetes-admin", ("system:masters",), tmp_path))
    try:
        response = stranger.get(path("pods", "default"))
    except httpx.TransportError:
        return
    assert response.status_code in (401, 403)


def test_authenticated_user_may_discover_and_nothing_more(target: Target) -> None:
    user = target.user("somebody")
    for url in ("/api", "/apis", "/api/v1", "/openapi/v3", "/version"):
        assert user.get(url).status_code == 200, url
    status = failure(user.get(path("namespaces")), 403, "Forbidden")
    assert status["message"] == (
        'namespaces is forbidden: User "somebody" cannot list resource "namespaces" in API group "" '
        "at the cluster scope"
    )


def test_plain_http_gets_no_answer_of_the_api(target: Target) -> None:
    try:
        response = httpx.get(target.url.replace("https:", "http:") + "/version", trust_env=False)
    except httpx.TransportError:
        return
    assert response.status_code == 400
