"""The test application's description fits the slice it is made for."""

from __future__ import annotations

from mlsysops_core.model import Application, Node, load_descriptions

from mlsysops_cli.render import test_application as describe


def node(architecture: str | None, layer: str = "edge") -> Node:
    cpu = {"cpu": {"architecture": architecture}} if architecture else {}
    return Node.model_validate({"name": "n", "continuum_layer": layer, "environment": {}, "hardware": cpu})


def application(text: str) -> Application:
    (description,) = load_descriptions(text)
    assert isinstance(description, Application)
    return description


def test_constraints_are_those_of_the_nodes() -> None:
    app = application(describe("s", ["c1", "c2"], [node("amd64"), node("arm64", "cloud")]))
    assert app.cluster_placement is not None
    assert app.cluster_placement.cluster_id == ["c1", "c2"]
    server = app.components[0]
    assert server.node_placement is not None
    assert server.node_placement.continuum_layer == ["cloud", "edge"]
    assert '"amd64", "arm64"' in describe("s", ["c1"], [node("amd64"), node("arm64")])


def test_no_architecture_is_asked_for_where_one_is_unknown() -> None:
    assert "architecture" not in describe("s", ["c1"], [node("amd64"), node(None)])


def test_the_client_finds_the_server_and_the_server_its_own_address() -> None:
    text = describe("s", ["c1"], [node("amd64")])
    assert '"$(POD_IP)"' in text
    assert '"$(SERVER_APP_SERVICE_HOST)"' in text
