"""Every way in which a kubeconfig says how its API is reached and who asks: taken, or refused in one line with a way out."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube_embedded import EmbeddedControlPlane
from kube_pki import issue_user
from mlsysops_core.errors import MlsError

from mlsysops_cli.ansible_plugins.module_utils import mls_login
from mlsysops_cli.ansible_plugins.module_utils.mls_kubernetes import Api, ApiError
from mlsysops_cli.existing import read_kubeconfig
from mlsysops_cli.existing.api import look, needs
from mlsysops_cli.slice.existing import KubeconfigSource

WANTED = needs(karmada=False, pods=True, namespace="mlsysops", framework_namespace="mlsysops-framework")
LOGIN = """#!/bin/sh
echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "'$(cat "$TOKEN_FILE")'"}}'
"""


class Person:
    """Somebody with a directory in which the kubeconfig's files lie."""

    def __init__(self, directory: Path, plane: EmbeddedControlPlane, token: str) -> None:
        self.directory, self.plane = directory, plane
        admin = yaml.safe_load(plane.kubeconfig.read_text())
        self.cluster: dict[str, Any] = dict(admin["clusters"][0]["cluster"])
        self.admin: dict[str, Any] = dict(admin["users"][0]["user"])
        (directory / "token").write_text(token)
        self.token = token

    def write(self, user: dict[str, Any], **cluster: Any) -> KubeconfigSource:
        """Write a kubeconfig with two contexts, the first of which is of no use, and name the second."""
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "other",
            "clusters": [
                {"name": "other", "cluster": {"server": "https://127.121.0.3:1"}},
                {"name": "cluster", "cluster": {k: v for k, v in (self.cluster | cluster).items() if v is not None}},
            ],
            "users": [{"name": "nobody", "user": {}}, {"name": "user", "user": user}],
            "contexts": [
                {"name": "other", "context": {"cluster": "other", "user": "nobody"}},
                {"name": "mine", "context": {"cluster": "cluster", "user": "user"}},
            ],
        }
        path = self.directory / "config"
        path.write_text(yaml.safe_dump(document))
        return KubeconfigSource(path=str(path), context="mine")

    def asks(self, source: KubeconfigSource) -> str:
        """What is in the way, all in one text; empty where nothing is."""
        try:
            kubeconfig = read_kubeconfig(source)
        except MlsError as exc:
            return str(exc) + (exc.hint or "")
        copy = self.directory / "elsewhere" / "copy"
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(json.dumps(kubeconfig))
        problems = look(str(copy), WANTED, karmada=False).problems
        assert all("\n" not in line for problem in problems for line in problem)
        return "; ".join(f"{text} ({hint})" for text, hint in problems)


@pytest.fixture(scope="module")
def token(plane: EmbeddedControlPlane, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A token of an administrator."""
    from kube_api import Api, path

    admin = Api(
        plane.url, plane.authority[0], issue_user(plane.authority, "root", ("system:masters",), plane.directory)
    )
    try:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "boss"}}
        admin.create(path("serviceaccounts", "default"), account)
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "boss"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "boss", "namespace": "default"}],
        }
        admin.create(path("clusterrolebindings"), binding)
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        made = admin.create(path("serviceaccounts", "default", "boss", "token"), request)
        return str(made["status"]["token"])
    finally:
        admin.close()


@pytest.fixture
def person(plane: EmbeddedControlPlane, tmp_path: Path, token: str) -> Person:
    return Person(tmp_path, plane, token)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def login(person: Person, text: str = LOGIN, **more: Any) -> dict[str, Any]:
    """A user whose credentials a program beside the kubeconfig gives."""
    program = person.directory / "login"
    program.write_text(text)
    program.chmod(0o755)
    environment = [{"name": "TOKEN_FILE", "value": str(person.directory / "token")}]
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "./login",
            "env": environment,
            "interactiveMode": "Never",
            **more,
        }
    }


def test_certificates_tokens_and_programs_are_taken(person: Person) -> None:
    cert, key = issue_user(person.plane.authority, "somebody", ("system:masters",), person.directory)
    (person.directory / "ca.crt").write_bytes(person.plane.authority[0].read_bytes())
    of_files = {"certificate-authority-data": None, "certificate-authority": "ca.crt"}
    assert person.asks(person.write(person.admin)) == ""
    assert person.asks(person.write({"client-certificate": cert.name, "client-key": key.name}, **of_files)) == ""
    assert person.asks(person.write({"token": person.token})) == ""
    assert person.asks(person.write({"tokenFile": "token"})) == ""
    assert person.asks(person.write(login(person))) == ""


def test_what_a_kubeconfig_says_of_tls(person: Person) -> None:
    localhost = person.plane.url.replace(person.plane.address, "127.121.0.2")
    assert person.asks(person.write(person.admin, server=localhost, **{"tls-server-name": "localhost"})) == ""
    assert "certificate verify failed" in person.asks(person.write(person.admin, **{"tls-server-name": "elsewhere"}))
    bare = {"certificate-authority-data": None}
    assert "certificate verify failed" in person.asks(person.write(person.admin, **bare))
    assert person.asks(person.write(person.admin, **bare, **{"insecure-skip-tls-verify": True})) == ""


def test_who_has_no_rights_is_told_so(person: Person) -> None:
    assert "does not accept the kubeconfig's credentials" in person.asks(person.write({"token": "made.up.token"}))
    cert, key = issue_user(person.plane.authority, "reader", (), person.directory)
    said = person.asks(person.write({"client-certificate": cert.name, "client-key": key.name}))
    assert "its user may not get, create, patch, delete namespaces (use an administrator's kubeconfig)" in said


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ({"username": "me", "password": "secret"}, "password"),
        ({"auth-provider": {"name": "azure", "config": {}}}, "auth-provider azure"),
        ({"token": "t", "as": "somebody-else"}, "impersonates somebody-else"),
        ({}, "no credentials"),
        ({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-login"}}, "no-such-login"),
        ({"tokenFile": "nowhere"}, "nowhere"),
    ],
)
def test_what_cannot_be_used_is_refused(person: Person, user: dict[str, Any], said: str) -> None:
    found = person.asks(person.write(user))
    assert said in found
    assert "secret" not in found


def test_a_program_that_fails_is_told(person: Person) -> None:
    found = person.asks(person.write(login(person, "#!/bin/sh\necho 'session is over' >&2\nexit 7\n")))
    said = f"the program {person.directory}/login ended with status 7: session is over"
    assert found == f"its credentials cannot be used: {said} (log in again)"
    assert "is no ExecCredential" in person.asks(person.write(login(person, "#!/bin/sh\necho '{}'\n")))


def test_a_program_that_does_not_end_is_ended(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mls_login, "SECONDS", 1.0)
    hangs = "#!/bin/sh\necho 'open https://login.example.org and wait' >&2\nsleep 3599 & echo $! > \"$TOKEN_FILE.child\"\nwait\n"
    found = person.asks(person.write(login(person, hangs)))
    said = "gave none within 1 s: open https://login.example.org and wait; run it by hand once, or log in again"
    assert said in found
    child = Path("/proc", (person.directory / "token.child").read_text().strip())
    wait_for(lambda: not child.exists() or "Z" in (child / "stat").read_text().rpartition(")")[2][:3])


def test_a_program_that_would_ask_somebody_is_told_that_nobody_is_there(person: Person) -> None:
    asks = '#!/bin/sh\ncase "$KUBERNETES_EXEC_INFO" in *\'"interactive": false\'*) exit 3;; esac\n'
    assert "ended with status 3" in person.asks(person.write(login(person, asks)))
    assert "nobody is there" in person.asks(person.write(login(person, interactiveMode="Always")))


def test_a_program_learns_of_the_cluster_and_may_give_a_certificate(person: Person) -> None:
    cert, key = issue_user(person.plane.authority, "somebody", ("system:masters",), person.directory)
    script = f"""#!{sys.executable}
import json, os, pathlib
asked = json.loads(os.environ["KUBERNETES_EXEC_INFO"])["spec"]["cluster"]
assert asked["server"] == {person.cluster["server"]!r} and asked["config"] == {{"audience": "x"}}, asked
status = {{"clientCertificateData": pathlib.Path({str(cert)!r}).read_text(), "clientKeyData": pathlib.Path({str(key)!r}).read_text()}}
print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}}))
"""
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}
    assert person.asks(person.write(login(person, script, provideClusterInfo=True), extensions=[extension])) == ""


def test_a_token_that_is_replaced_meanwhile_is_read_again(person: Person) -> None:
    for user in ({"tokenFile": "token"}, login(person)):
        path = person.directory / "copy"
        path.write_text(json.dumps(read_kubeconfig(person.write(user))))
        api = Api(str(path))
        api.request("GET", "/api/v1/namespaces/default")
        api._access.headers["authorization"] = "Bearer has.expired.meanwhile"
        assert api.request("GET", "/api/v1/namespaces/default")["metadata"]["name"] == "default"
        (person.directory / "token").write_text("not.any.more")
        api._access.headers["authorization"] = "Bearer has.expired.meanwhile"
        with pytest.raises(ApiError) as caught:
            api.request("GET", "/api/v1/namespaces/default")
        assert caught.value.code == 401
        (person.directory / "token").write_text(person.token)


class Proxy:
    """A proxy that knows CONNECT alone."""

    def __init__(self, answer: bytes = b"") -> None:
        self.answer, self.asked = answer, 0
        self.listener = socket.create_server(("127.121.0.2", 0))
        self.url = f"http://127.121.0.2:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                if not (part := client.recv(4096)):
                    return
                head += part
            self.asked += 1
            if self.answer:
                client.sendall(self.answer)
                return
            host, _, port = head.split()[1].decode().rpartition(":")
            with socket.create_connection((host, int(port))) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=_copy, args=(server, client), daemon=True)
                back.start()
                _copy(client, server)
                back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    yield made
    made.listener.close()


def test_a_proxy_of_the_kubeconfig_is_asked_and_one_of_the_environment_too(
    person: Person, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert person.asks(person.write(person.admin, **{"proxy-url": proxy.url})) == ""
    assert proxy.asked
    refusing = Proxy(b"HTTP/1.1 403 Forbidden\r\n\r\n")
    try:
        found = person.asks(person.write(person.admin, **{"proxy-url": refusing.url}))
    finally:
        refusing.listener.close()
    assert "does not answer" in found
    assert "403" in found
    assert os.environ.get("HTTPS_PROXY") is None
