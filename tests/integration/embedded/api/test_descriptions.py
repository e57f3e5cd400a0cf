"""The definitions of descriptions: what the models refuse for reasons between fields, the API refuses too."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from mlsysops_core.errors import InvalidInput
from mlsysops_core.model import load_descriptions, to_resource

Obj = dict[str, Any]
ROOT = Path(__file__).parents[4]
DESCRIPTIONS = ROOT / "tests/data/mlsysops/descriptions"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
Change = Callable[[Obj], Any]


@pytest.fixture(scope="module", autouse=True)
def _defined(plane: Any) -> Iterator[None]:
    with plane.client() as api:
        names = []
        for path in sorted((ROOT / "templates/crds").glob("*.yaml")):
            answer = api.post(CRDS, json=yaml.safe_load(path.read_text()))
            assert answer.status_code == 201, answer.text
            names.append(answer.json()["metadata"]["name"])
        yield
        for name in names:
            api.delete(f"{CRDS}/{name}")


def document(name: str) -> Obj:
    return yaml.safe_load((DESCRIPTIONS / name).read_text())  # type: ignore[no-any-return]


def post(api: httpx.Client, namespace: str, resource: Obj) -> httpx.Response:
    resource["metadata"]["namespace"] = namespace
    plural = f"{resource['kind'].lower()}s"
    return api.post(f"/apis/mlsysops.eu/v1/namespaces/{namespace}/{plural}", json=resource)


def component(app: Obj, index: int = 0) -> Obj:
    return app["components"][index]  # type: ignore[no-any-return]


def container(app: Obj) -> Obj:
    return component(app)["containers"][0]  # type: ignore[no-any-return]


def weigh(
    app: Obj, *weights: float, names: tuple[str, ...] = ("test_received_success_counter", "test_sent_success_counter")
) -> None:
    found = [{"metric_id": name, "weight": weight} for name, weight in zip(names, weights, strict=True)]
    app["global_satisfaction"]["achievement_weights"] = found


@pytest.mark.parametrize(
    "name", ["example-app.yaml", "example-node.yaml", "example-cluster.yaml", "example-continuum.yaml"]
)
def test_takes_what_the_models_take(api: httpx.Client, namespace: str, name: str) -> None:
    (description,) = load_descriptions((DESCRIPTIONS / name).read_text())
    answer = post(api, namespace, to_resource(description))
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(
    "change",
    [
        lambda app: weigh(app, 0.25, 0.75),
        lambda app: weigh(app, 0, 1),
        lambda app: component(app, 1).update(depends_on=["server-app"]),
        lambda app: app.update(single_node=[{"components": ["server-app", "client-app"]}]),
        lambda app: component(app).update(host_network=True) or container(app)["ports"][0].update(host_port=10000),
    ],
)
def test_takes_good_changes(api: httpx.Client, namespace: str, change: Change) -> None:
    app = document("example-app.yaml")
    change(app["MLSysOpsApp"])
    (description,) = load_descriptions(yaml.safe_dump(app))
    answer = post(api, namespace, to_resource(description))
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        (lambda app: component(app, 1)["metadata"].update(name="server-app"), "spec", "component names must be unique"),
        (lambda app: component(app).update(depends_on=["nobody"]), "spec", "depends_on must name components"),
        (lambda app: component(app).update(depends_on=["server-app"]), "spec.components[0]", "cannot depend on itself"),
        (lambda app: app["component_interactions"][0].update(component_name1="nobody"), "spec", "component_interactions"),
        (lambda app: app.update(single_node=[{"components": ["server-app", "nobody"]}]), "spec", "single_node must name"),
        (lambda app: weigh(app, 0.5, 0.6), "spec.global_satisfaction", "the weights must sum to 1"),
        (lambda app: weigh(app, 1, 1), "spec.global_satisfaction", "the weights must sum to 1"),
        (lambda app: weigh(app, 1, names=("nothing",)), "spec", "achievement_weights must name metrics"),
        (
            lambda app: component(app).update(host_network=True) or container(app)["ports"][0].update(host_port=1),
            "spec.components[0]",
            "host_port must equal container_port",
        ),
        (lambda app: container(app)["env"][0].update(value_from=container(app)["env"][2]["value_from"]),
            "spec.components[0].containers[0].env[0]", "exclude each other"),
        (lambda app: component(app).update(sensors=[{}]), "spec.components[0].sensors[0]", "is required"),
    ],
)  # fmt: skip
def test_refuses_what_the_models_refuse(
    api: httpx.Client, namespace: str, change: Change, field: str, message: str
) -> None:
    app = document("example-app.yaml")
    (description,) = load_descriptions(yaml.safe_dump(app))
    resource = to_resource(description)
    wrong = copy.deepcopy(app)
    change(wrong["MLSysOpsApp"])
    with pytest.raises(InvalidInput):
        load_descriptions(yaml.safe_dump(wrong))
    change(resource["spec"])
    answer = post(api, namespace, resource)
    assert answer.status_code == 422, answer.text
    causes = [(cause["field"], cause["message"]) for cause in answer.json()["details"]["causes"]]
    assert any(where == field and message in text for where, text in causes), causes


def test_the_name_is_that_of_the_object(api: httpx.Client, namespace: str) -> None:
    (description,) = load_descriptions((DESCRIPTIONS / "example-app.yaml").read_text())
    resource = to_resource(description)
    resource["metadata"]["name"] = "another"
    resource["spec"]["name"] = "one"
    assert "spec.name must equal metadata.name" in post(api, namespace, resource).text


def test_a_node_lies_on_the_earth(api: httpx.Client, namespace: str) -> None:
    (description,) = load_descriptions((DESCRIPTIONS / "example-node.yaml").read_text())
    resource = to_resource(description)
    where = next(key for key in resource["spec"] if "location" in key)
    shape = resource["spec"][where]
    key = next(iter(shape)) if isinstance(shape, dict) else None
    spot = [181.0, 0.0]
    resource["spec"][where] = {**shape, key: spot} if key else spot
    answer = post(api, namespace, resource)
    assert answer.status_code == 422
    assert "the longitude (first) must be in -180..180" in answer.text


def test_a_status_is_written_whatever_rules_came_later(api: httpx.Client, namespace: str) -> None:
    (description,) = load_descriptions((DESCRIPTIONS / "example-app.yaml").read_text())
    resource = to_resource(description)
    assert post(api, namespace, resource).status_code == 201
    url = f"/apis/mlsysops.eu/v1/namespaces/{namespace}/mlsysopsapps/{resource['metadata']['name']}/status"
    headers = {"content-type": "application/merge-patch+json"}
    assert api.patch(url, json={"status": {"phase": "Pending"}}, headers=headers).status_code == 200
