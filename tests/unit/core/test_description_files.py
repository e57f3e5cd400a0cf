"""Files of descriptions: every accepted form, users' own files, and their spellings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from mlsysops_core import model
from mlsysops_core.errors import InvalidInput
from mlsysops_core.model import Application, Cluster, Continuum, Datacenter, Node

DATA = Path(__file__).parents[2] / "data" / "mlsysops"
FILES = sorted((DATA / "descriptions").rglob("*.yaml"))


def one(text: str) -> Any:
    (description,) = model.load_descriptions(text)
    return description


NODE = """\
name: n1
continuum_layer: edge
environment: {os: ubuntu}
hardware: {memory: 4}
"""


def indent(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_users_files_load(path: Path) -> None:
    (description,) = model.load_descriptions(path.read_bytes(), source=str(path))
    assert model.description_name(description)


def test_the_example_application_is_read_to_the_last_number() -> None:
    app = one((DATA / "descriptions" / "example-app.yaml").read_text())
    assert isinstance(app, Application)
    server, client = app.components
    assert (server.name, client.name) == ("server-app", "client-app")
    assert server.cpu_request == 0.25
    assert server.memory_request == 64 << 20
    assert server.containers[0].memory_limit == 128 << 20
    assert server.containers[0].cpu_limit == 0.5
    assert server.disk_request == 120 * 10**9
    assert server.node_placement is not None
    assert server.node_placement.mobile is True
    requirements = client.containers[0].requirements
    assert requirements.gpu is not None
    assert requirements.gpu.memory_bytes == 2 * 10**9
    assert client.node_placement is not None
    assert client.node_placement.mobile is False
    assert app.component("server-app") is server
    assert app.component("other") is None


def test_the_example_node_is_read_to_the_last_number() -> None:
    node = one((DATA / "descriptions" / "example-node.yaml").read_text())
    assert isinstance(node, Node)
    assert node.hardware.memory_bytes == 16 * 10**9
    assert node.hardware.disk_bytes == 256 * 10**9
    assert node.hardware.gpu is not None
    assert node.hardware.gpu.memory == 4, "a quoted number of gigabytes becomes a number"
    assert node.hardware.cpu is not None
    assert node.hardware.cpu.frequency == [2_400_000_000, 3_000_000_000]
    assert node.location == [22.9576, 40.6401]


def test_wrapped_and_manifest_forms_say_the_same() -> None:
    wrapped = one(f"MLSysOpsNode:\n{indent(NODE)}")
    manifest = one(f"apiVersion: mlsysops.eu/v1\nkind: MLSysOpsNode\nmetadata: {{name: n1}}\nspec:\n{indent(NODE)}")
    legacy = one(f"apiVersion: mlsysops.eu/v1\nkind: MLSysOpsNode\nmetadata: {{name: n1}}\n{NODE}")
    assert wrapped == manifest == legacy


def test_the_name_of_a_manifest_may_stand_in_metadata_alone() -> None:
    fields = NODE.replace("name: n1\n", "")
    assert one(f"apiVersion: mlsysops.eu/v1\nkind: MLSysOpsNode\nmetadata: {{name: n2}}\n{fields}").name == "n2"
    cluster = one("apiVersion: mlsysops.eu/v1\nkind: MLSysOpsCluster\nmetadata: {name: c}\nspec: {nodes: []}")
    assert cluster.cluster_id == "c"


def test_labels_and_annotations_of_a_manifest_are_kept() -> None:
    text = f"apiVersion: mlsysops.eu/v1\nkind: MLSysOpsNode\nmetadata: {{name: n1, labels: {{a: b}}, annotations: {{c: d}}}}\nspec:\n{indent(NODE)}"
    metadata = model.to_resource(one(text))["metadata"]
    assert metadata == {"name": "n1", "namespace": "mlsysops", "labels": {"a": "b"}, "annotations": {"c": "d"}}


def test_other_words_for_an_application() -> None:
    app = one("MLSysOpsApplication:\n  name: a\n  components: [{metadata: {name: c}, containers: [{image: i}]}]")
    assert model.to_document(app).keys() == {"MLSysOpsApp"}


def test_several_descriptions_in_one_file() -> None:
    text = f"MLSysOpsCluster: {{cluster_id: c, nodes: [n1]}}\nMLSysOpsContinuum: {{continuum_id: k, clusters: [c]}}\n---\nMLSysOpsNode:\n{indent(NODE)}"
    assert [type(d) for d in model.load_descriptions(text)] == [Cluster, Continuum, Node]


def test_lists_as_kubectl_prints_them() -> None:
    item = {
        "apiVersion": "mlsysops.eu/v1",
        "kind": "MLSysOpsCluster",
        "metadata": {"name": "c"},
        "spec": {"cluster_id": "c", "nodes": []},
    }
    assert isinstance(one(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [item]})), Cluster)


def test_datacenter() -> None:
    text = "MLSysOpsDatacenter: {datacenter_id: d, cluster_id: c, continuum: edge, nodes: [n], continent: Europe, country: it, location: [9.2, 45.5]}"
    datacenter = one(text)
    assert isinstance(datacenter, Datacenter)
    assert datacenter.continent == "europe"
    assert model.description_name(datacenter) == "d"


def component(fields: str) -> str:
    return f"MLSysOpsApp: {{name: a, components: [{{metadata: {{name: c}}, containers: [{{image: i}}], {fields}}}]}}"


@pytest.mark.parametrize("key", ["reduncancy", "redundancy"])
def test_both_spellings_of_a_key_are_accepted(key: str) -> None:
    app = one(component(f"storage: {{buckets: [{{bucket_id: b, {key}: high}}]}}"))
    assert app.components[0].storage.buckets[0].redundancy == "high"
    assert app.to_dict()["components"][0]["storage"]["buckets"][0] == {"bucket_id": "b", "reduncancy": "high"}


@pytest.mark.parametrize("key", ["suported_frameworks", "supported_frameworks"])
def test_both_spellings_of_frameworks(key: str) -> None:
    node = one(
        f"MLSysOpsNode:\n{indent(NODE)}  acceleration_api: [{{call_name: image_inference, supported_platforms: [{{name: gpu, {key}: [opencl]}}]}}]"
    )
    assert node.acceleration_api[0].supported_platforms[0].supported_frameworks == ["opencl"]


@pytest.mark.parametrize("word", ["lower_or_qqual", "lower_or_equal"])
def test_both_spellings_of_a_relation(word: str) -> None:
    node = one(f"MLSysOpsNode:\n{indent(NODE)}  power: {{target: {{cost: {{value: 1, relation: {word}}}}}}}")
    assert node.power.target.cost.relation == "lower_or_equal"


@pytest.mark.parametrize("word", ["arm-M4", "arm-m4", "ARM-M4"])
def test_letter_case_of_values_does_not_matter(word: str) -> None:
    node = one(
        f"MLSysOpsNode:\n{indent(NODE).replace('{memory: 4}', f'{{mcu: {{architecture: {word}, flash: 1MB}}}}')}"
    )
    assert node.hardware.mcu.architecture == "arm-m4"
    assert node.hardware.mcu.flash_bytes == 10**6


@pytest.mark.parametrize(("text", "value"), [("on", "on"), ("off", "off"), ("'on'", "on"), ("true", "on")])
def test_switches_are_no_booleans(text: str, value: str) -> None:
    app = one(component(f"storage: {{buckets: [{{bucket_id: b, server_side_encryption: {text}}}]}}"))
    assert app.components[0].storage.buckets[0].server_side_encryption == value


def test_words_of_yaml_1_1_are_booleans_where_one_is_expected() -> None:
    assert one(component("external_access: yes")).components[0].external_access is True


@pytest.mark.parametrize(
    ("text", "hertz"), [("2400000000", 2_400_000_000), ("2.4GHz", 2_400_000_000), ("'800 MHz'", 800_000_000)]
)
def test_frequencies_with_and_without_a_unit(text: str, hertz: float) -> None:
    node = one(f"MLSysOpsNode:\n{indent(NODE).replace('{memory: 4}', f'{{cpu: {{frequency: [{text}]}}}}')}")
    assert node.hardware.cpu.frequency == [hertz]


@pytest.mark.parametrize(("text", "gigabytes"), [("16", 16), ("'16'", 16), ("0.5", 0.5), ("512MB", 0.512)])
def test_memory_in_gigabytes(text: str, gigabytes: float) -> None:
    assert one(f"MLSysOpsNode:\n{indent(NODE).replace('memory: 4', f'memory: {text}')}").hardware.memory == gigabytes


def test_slow_cpus_are_warned_about_where_they_stand() -> None:
    path = DATA / "descriptions" / "nodes" / "mls-test-vm1.yaml"
    loaded = model.load(path.read_bytes(), source="vm1.yaml")
    assert [(w.line, w.column, w.path) for w in loaded.warnings] == [
        (22, 11, "hardware.cpu.frequency[0]"),
        (23, 11, "hardware.cpu.frequency[1]"),
    ]
    assert "Hz" in loaded.warnings[0].hint


def test_another_namespace_is_warned_about() -> None:
    text = (
        f"apiVersion: mlsysops.eu/v1\nkind: MLSysOpsNode\nmetadata: {{name: n1, namespace: x}}\nspec:\n{indent(NODE)}"
    )
    assert "namespace 'x'" in model.load(text).warnings[0].message


def test_keys_without_a_value_count_as_absent() -> None:
    assert one(f"MLSysOpsNode:\n{indent(NODE)}  sensors:\n  labels: ~\n").sensors == []


def test_a_resource_of_a_newer_version_is_read() -> None:
    spec = {"cluster_id": "c", "nodes": ["n"], "future": {"x": 1}}
    cluster = model.from_resource(
        {"apiVersion": "mlsysops.eu/v1", "kind": "MLSysOpsCluster", "metadata": {"name": "c"}, "spec": spec}
    )
    assert isinstance(cluster, Cluster)
    assert cluster.nodes == ["n"]


def test_a_resource_that_is_wrong_is_refused() -> None:
    with pytest.raises(InvalidInput, match="MLSysOpsCluster/c"):
        model.from_resource({"kind": "MLSysOpsCluster", "metadata": {"name": "c"}, "spec": {"cluster_id": "c"}})
    with pytest.raises(InvalidInput, match="'Pod' is no kind"):
        model.from_resource({"kind": "Pod"})
