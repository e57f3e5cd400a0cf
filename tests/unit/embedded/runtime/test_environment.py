"""What a program sees: variables, expansion, downward API, services."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlsysops_embedded.client import Object
from mlsysops_embedded.kubelet.environment import (
    ContainerConfigError,
    command_line,
    container_environment,
    expand,
    field_value,
    resource_value,
    service_environment,
)

POD: Object = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a": 'x"y'}, "annotations": {"k/e": "v"}},
    "spec": {
        "nodeName": "w",
        "containers": [{"name": "c", "resources": {"limits": {"cpu": "250m", "memory": "64Mi"}}}],
    },
    "status": {"podIP": "127.0.0.9", "hostIP": "127.0.0.8"},
}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("$(A)-$(B)", "1-2"),
        ("$(MISSING)", "$(MISSING)"),
        ("$$(A)", "$(A)"),
        ("$A $ $(", "$A $ $("),
        ("$$$(A)", "$1"),
        ("100$", "100$"),
    ],
)
def test_expansion(text: str, wanted: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == wanted


@given(st.text().filter(lambda text: "$" not in text))
def test_text_without_dollars_is_left_alone(text: str) -> None:
    assert expand(text, {"A": "1"}) == text


def test_fields() -> None:
    assert field_value(POD, "status.podIP") == "127.0.0.9"
    assert field_value(POD, "metadata.annotations['k/e']") == "v"
    assert field_value(POD, "metadata.labels") == 'a="x\\"y"'
    with pytest.raises(ContainerConfigError):
        field_value(POD, "spec.anything")


def test_resources_round_up_in_units_of_the_divisor() -> None:
    container = POD["spec"]["containers"][0]
    assert resource_value(POD, container, {"resource": "limits.cpu"}, {}) == "1"
    assert resource_value(POD, container, {"resource": "limits.cpu", "divisor": "1m"}, {}) == "250"
    assert resource_value(POD, container, {"resource": "limits.memory", "divisor": "1Mi"}, {}) == "64"
    assert (
        resource_value(POD, container, {"resource": "limits.ephemeral-storage"}, {"ephemeral-storage": "1Ki"}) == "1024"
    )


def test_order_of_sources_and_later_names_see_earlier_ones() -> None:
    data = {("ConfigMap", "m"): {"A": "map", "B": "map"}, ("Secret", "s"): {"word": "plugh"}}
    container = {
        "name": "c",
        "envFrom": [{"configMapRef": {"name": "m"}}, {"prefix": "P_", "secretRef": {"name": "s"}}],
        "env": [
            {"name": "B", "value": "$(A)+$(BASE)"},
            {"name": "C", "value": "$(B)!"},
            {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "absent", "optional": True}}},
        ],
        "command": ["run"],
        "args": ["$(C)", "$$(C)"],
    }
    variables = container_environment(POD, container, {"BASE": "base"}, lambda kind, name: data.get((kind, name)), {})
    assert variables == {"BASE": "base", "A": "map", "P_word": "plugh", "B": "map+base", "C": "map+base!"}
    assert command_line(["/bin/x"], container, variables) == ["/bin/x", "run", "map+base!", "$(C)"]


@pytest.mark.parametrize(
    "container",
    [
        {"name": "c", "envFrom": [{"configMapRef": {"name": "absent"}}]},
        {"name": "c", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "k"}}}]},
    ],
)
def test_what_is_missing_is_said(container: Object) -> None:
    with pytest.raises(ContainerConfigError, match="absent"):
        container_environment(POD, container, {}, lambda _kind, _name: None, {})


def test_services_of_the_namespace_and_the_api() -> None:
    def service(name: str, namespace: str, address: str) -> Object:
        ports = [{"name": "web-ui", "port": 80}, {"port": 53, "protocol": "UDP"}]
        return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": address, "ports": ports}}

    services = [
        service("server-app", "n", "127.1.1.1"),
        service("other", "elsewhere", "127.1.1.2"),
        service("kubernetes", "default", "127.1.1.3"),
        service("headless", "n", "None"),
    ]
    variables = service_environment(services, "n")
    assert variables["SERVER_APP_SERVICE_HOST"] == "127.1.1.1"
    assert variables["SERVER_APP_SERVICE_PORT"] == variables["SERVER_APP_SERVICE_PORT_WEB_UI"] == "80"
    assert variables["SERVER_APP_PORT_53_UDP"] == "udp://127.1.1.1:53"
    assert variables["KUBERNETES_SERVICE_HOST"] == "127.1.1.3"
    assert not any(name.startswith(("OTHER", "HEADLESS")) for name in variables)
