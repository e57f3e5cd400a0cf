"""The environment of a container, as the test application reads it."""

from __future__ import annotations

import pytest
from mlsysops_testapp.__main__ import role_of
from mlsysops_testapp.client import service_address
from mlsysops_testapp.settings import Settings, SettingsError

#: What example-app.yaml gives the server, as a kubelet expands it.
SERVER = {
    "OTEL_RESOURCE_ATTRIBUTES": "service.name=other, service.version=0.0.0, service.experimentid=test",
    "OTEL_SERVICE_NAME": "server-app",
    "NODE_IP": "127.20.0.12",
    "TELEMETRY_ENDPOINT": "127.20.0.12:43170",
    "TCP_SERVER_IP": "0.0.0.0",
}


def test_server_of_the_example() -> None:
    settings = Settings.read(SERVER, role="server")

    assert (settings.server, settings.port) == ("0.0.0.0", 10000)
    assert settings.telemetry == ("127.20.0.12", 43170)
    assert settings.resource == {
        "service.name": "server-app",
        "service.version": "0.0.0",
        "service.experimentid": "test",
    }


def test_a_local_pod_binds_its_own_address() -> None:
    assert Settings.read(SERVER | {"POD_IP": "127.20.64.3"}, role="server").server == "127.20.64.3"
    assert Settings.read(SERVER | {"EMBEDDED_POD_IP": "127.20.64.3"}, role="server").server == "127.20.64.3"
    assert Settings.read({"POD_IP": "127.20.64.3"}, role="server").server == "127.20.64.3"
    assert Settings.read({"POD_IP": "127.20.64.3", "TCP_SERVER_IP": "127.0.0.9"}, role="server").server == "127.0.0.9"
    assert Settings.read({}, role="server").server == "0.0.0.0"


def test_pod_name_is_told_where_it_is_known() -> None:
    in_pod = {"HOSTNAME": "shop-server-app-1", "KUBERNETES_SERVICE_HOST": "10.0.0.1", "TCP_SERVER_IP": "a"}

    assert Settings.read(in_pod, role="client").resource["k8s.pod.name"] == "shop-server-app-1"
    assert Settings.read({"POD_NAME": "p", "TCP_SERVER_IP": "a"}, role="client").resource["k8s.pod.name"] == "p"
    assert "k8s.pod.name" not in Settings.read({"HOSTNAME": "laptop", "TCP_SERVER_IP": "a"}, role="client").resource


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("", None),
        ("host:4318", ("host", 4318)),
        ("http://host:1234/", ("host", 1234)),
        ("host", ("host", 4318)),
        ("[::1]:43170", ("::1", 43170)),
    ],
)
def test_endpoints(text: str, endpoint: tuple[str, int] | None) -> None:
    assert Settings.read({"TELEMETRY_ENDPOINT": text}, role="server").telemetry == endpoint


@pytest.mark.parametrize(
    ("environment", "role", "names"),
    [
        ({}, "client", "TCP_SERVER_IP"),
        ({"TCP_SERVER_PORT": "x"}, "server", "TCP_SERVER_PORT"),
        ({"TCP_SERVER_PORT": "70000"}, "server", "TCP_SERVER_PORT"),
        ({"TELEMETRY_ENDPOINT": "$(NODE_IP):43170"}, "server", "TELEMETRY_ENDPOINT"),
        ({"TELEMETRY_ENDPOINT": "host:port"}, "server", "TELEMETRY_ENDPOINT"),
        ({"TEST_APP_RATE": "0"}, "server", "TEST_APP_RATE"),
        ({"TEST_APP_RATE": "nan"}, "server", "TEST_APP_RATE"),
    ],
)
def test_nonsense_is_named(environment: dict[str, str], role: str, names: str) -> None:
    with pytest.raises(SettingsError, match=names):
        Settings.read(environment, role=role)


@pytest.mark.parametrize(
    ("arguments", "role"),
    [
        (["python", "TcpServer.py"], "server"),
        (["TcpClient.py"], "client"),
        (["/usr/bin/python3", "-u", "/app/TcpClient.py"], "client"),
        (["server"], "server"),
        ([], None),
        (["python"], None),
        (["python", "Other.py"], None),
        (["TcpServer.py", "TcpClient.py"], None),
    ],
)
def test_container_commands(arguments: list[str], role: str | None) -> None:
    assert role_of(arguments) == role


def test_service_variables() -> None:
    environment = {"SERVER_APP_SERVICE_HOST": "127.20.128.5", "SERVER_APP_SERVICE_PORT": "10000"}

    assert service_address("server-app", environment) == ("127.20.128.5", 10000)
    assert service_address("server-app.mlsysops.svc", environment) == ("127.20.128.5", 10000)
    assert service_address("other", environment) is None
    assert service_address("server-app", {"SERVER_APP_SERVICE_HOST": "127.20.128.5"}) is None
