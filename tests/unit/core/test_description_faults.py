"""Faults of descriptions: all at once, each with its place in the file and what to do."""

from __future__ import annotations

import textwrap

import pytest
from mlsysops_core.errors import Fault, InvalidInput
from mlsysops_core.model import Application, load_descriptions

APP = """\
MLSysOpsApp:
  name: shop
  components:
    - metadata:
        name: web
      qos_metrics:
        - {application_metric_id: rate, target: 3, relation: greater_than}
      containers:
        - image: web:1
          ports:
            - {container_port: 80, name: http}
    - metadata:
        name: data
      containers:
        - image: data:1
"""


def faults_of(text: str) -> list[Fault]:
    with pytest.raises(InvalidInput) as caught:
        load_descriptions(text, source="app.yaml")
    assert caught.value.exit_code == 3
    for fault in caught.value.faults:
        assert "\n" not in str(fault)
        assert fault.source == "app.yaml"
    return list(caught.value.faults)


def with_lines(addition: str) -> str:
    return APP + textwrap.indent(textwrap.dedent(addition), "  ")


def in_container(line: str) -> str:
    return APP + f"          {line}\n"


@pytest.mark.parametrize(
    ("text", "line", "column", "path", "message", "hint"),
    [
        (APP.replace("image: data:1", "imagee: data:1"), 15, 11, "components[1].containers[0].imagee", "unknown key 'imagee'", "'image'"),
        (in_container("zzz: 1"), 16, 11, "components[1].containers[0].zzz", "unknown key 'zzz'", "known: image"),
        (APP.replace("relation: greater_than", "relation: more"), 7, 62, "components[0].qos_metrics[0].relation", "'more' is not one of lower_or_equal", ""),
        (APP.replace("greater_than", "greather_than"), 7, 62, "components[0].qos_metrics[0].relation", "'greather_than' is not one of", "did you mean 'greater_than'?"),
        (APP.replace("container_port: 80", "container_port: 70000"), 11, 32, "components[0].containers[0].ports[0].container_port", "at most 65535", ""),
        (APP.replace("container_port: 80", "container_port: '80'"), 11, 32, "components[0].containers[0].ports[0].container_port", "must be a whole number, not '80'", ""),
        (APP.replace("name: data\n", "name: Data\n"), 13, 15, "components[1].metadata.name", "'Data' is not allowed here", "lower-case letters"),
        (APP.replace("name: shop", "name: 12"), 2, 9, "name", "must be a text, not 12", "quotes"),
        (APP.replace("  name: shop\n", ""), 1, 1, "name", "is required", "add it"),
        (APP.replace("target: 3", "target: '3'"), 7, 49, "components[0].qos_metrics[0].target", "must be a number, not '3'", "without quotes"),
        (in_container("command: python"), 16, 20, "components[1].containers[0].command", "must be a list, not 'python'", "- "),
        (in_container("platform_requirements: 3"), 16, 34, "components[1].containers[0].platform_requirements", "must be a mapping, not 3", ""),
        (in_container("platform_requirements: {cpu: {requests: lots}}"), 16, 51, "components[1].containers[0].platform_requirements.cpu.requests", "'lots' is no amount of CPU", ""),
        (in_container("platform_requirements: {cpu: {frequency: 3parsec}}"), 16, 52, "components[1].containers[0].platform_requirements.cpu.frequency", "'3parsec' is no frequency", "1.4GHz"),
        (in_container("env: [{name: 1x}]"), 16, 24, "components[1].containers[0].env[0].name", "'1x' is not allowed here", "not beginning with a digit"),
        (in_container("env: [{name: x, value: 3}]"), 16, 34, "components[1].containers[0].env[0].value", "must be a text, not 3", "quotes"),
        (in_container("env: [{name: x, value_from: {field_ref: {field_path: status.ip}}}]"), 16, 64, "components[1].containers[0].env[0].value_from.field_ref.field_path", "'status.ip' is not allowed", "status.hostIP"),
        (with_lines("global_satisfaction: {threshold: 0}"), 16, 36, "global_satisfaction.threshold", "above 0", ""),
        (with_lines("global_satisfaction: {threshold: 1.5}"), 16, 36, "global_satisfaction.threshold", "at most 1", ""),
        ("MLSysOpsApp: {name: a, components: []}", 1, 24, "components", "at least 1 entries", ""),
        ("MLSysOpsApp:", 1, 1, "", "must be a mapping", ""),
        ("MLSysOpsAp: {}", 1, 1, "MLSysOpsAp", "unknown kind of description 'MLSysOpsAp'", "'MLSysOpsApp'"),
        ("just text", 1, 1, "", "this is no description", "MLSysOpsApp"),
        ("kind: Deployment\napiVersion: apps/v1", 1, 7, "kind", "unknown kind 'Deployment'", ""),
    ],
)  # fmt: skip
def test_each_fault_has_its_place_and_remedy(
    text: str, line: int, column: int, path: str, message: str, hint: str
) -> None:
    (fault,) = faults_of(text)
    assert (fault.line, fault.column, fault.path) == (line, column, path), str(fault)
    assert message in fault.message
    assert hint in fault.hint


def test_all_faults_come_at_once_in_the_order_of_the_file() -> None:
    text = with_lines(
        """\
        component_interactions:
          - {component_name1: web, component_name2: dta}
        global_satisfaction:
          achievement_weights: [{metric_id: rate, weight: 0.5}]
        """
    )
    text = text.replace("relation: greater_than", "relation: much").replace("image: data:1", "img: data:1")
    found = [(fault.line, fault.path) for fault in faults_of(text)]
    assert found == [
        (7, "components[0].qos_metrics[0].relation"),
        (15, "components[1].containers[0].img"),
        (17, "component_interactions[0].component_name2"),
        (19, "global_satisfaction.achievement_weights"),
    ]


def test_faults_of_all_documents_come_at_once() -> None:
    assert [
        fault.line for fault in faults_of("MLSysOpsCluster: {cluster_id: c}\n---\nMLSysOpsCluster: {nodes: []}\n")
    ] == [1, 3]


def test_many_faults_are_cut_short() -> None:
    faults = faults_of("MLSysOpsCluster: {cluster_id: c, nodes: [" + ", ".join(f"X{n}" for n in range(500)) + "]}")
    assert len(faults) == 101
    assert faults[-1].message == "and 400 faults more"


def test_a_description_of_ten_megabytes_gets_one_line() -> None:
    nodes = "".join(f"    - node-{number:07}\n" for number in range(150_000))
    (fault,) = faults_of("MLSysOpsCluster:\n  cluster_id: c\n  nodes:\n" + nodes + "# " + "x" * 8_000_000)
    assert "at most 5000 entries, has 150000" in fault.message


def test_a_description_that_no_api_server_would_take_is_refused() -> None:
    value = "x" * 30_000
    env = "\n".join(f"            - {{name: V{number}, value: {value}}}" for number in range(50))
    (fault,) = faults_of(in_container(f"env:\n{env}"))
    assert "too large: 1.5 MB" in fault.message


def test_aliases_cannot_blow_a_description_up() -> None:
    app = "MLSysOpsApp:\n  name: a\n  components:\n    - metadata: {name: c}\n      containers:\n"
    first = f"        - &c {{image: i, command: [{', '.join(['&s ' + 'x' * 30_000] + ['*s'] * 255)}]}}\n"
    (fault,) = faults_of(app + first + "        - *c\n" * 7)
    assert "too large: 61." in fault.message


def test_the_same_description_twice() -> None:
    (fault,) = faults_of(
        "MLSysOpsCluster: {cluster_id: c, nodes: []}\n---\nMLSysOpsCluster: {cluster_id: c, nodes: []}\n"
    )
    assert (fault.line, fault.message) == (3, "MLSysOpsCluster 'c' is there twice")


def test_manifests_have_faults_of_their_own() -> None:
    text = "apiVersion: v2\nkind: MLSysOpsCluster\nmetadata: {name: c}\nextra: 1\nspec: {cluster_id: c, nodes: []}"
    assert [(fault.line, fault.message) for fault in faults_of(text)] == [
        (1, "apiVersion is 'v2'"),
        (4, "unknown key 'extra'"),
    ]


@pytest.mark.parametrize("text", ["{}", "apiVersion: v1\nkind: List\nitems: []"])
def test_files_without_a_description(text: str) -> None:
    (fault,) = faults_of(text)
    assert fault.message == "the file holds no description"


def test_metadata_that_is_wrong() -> None:
    head = "apiVersion: mlsysops.eu/v1\nkind: MLSysOpsCluster\n"
    text = head + "metadata: {name: 3, labels: [x], annotations: {a: 1}}\nspec: {nodes: []}"
    assert [(fault.column, fault.path) for fault in faults_of(text)] == [
        (18, "metadata.name"),
        (21, "metadata.labels"),
        (51, "metadata.annotations.a"),
    ]


def test_a_name_that_contradicts_the_metadata() -> None:
    text = "apiVersion: mlsysops.eu/v1\nkind: MLSysOpsApp\nmetadata: {name: b}\nspec:\n  name: a\n  components: [{metadata: {name: c}, containers: [{image: i}]}]"
    (fault,) = faults_of(text)
    assert (fault.line, fault.path) == (5, "name")


def test_programs_get_the_same_rules() -> None:
    with pytest.raises(ValueError, match="there is no component 'x'"):
        Application.model_validate(
            {
                "name": "a",
                "components": [{"metadata": {"name": "c"}, "containers": [{"image": "i"}], "depends_on": ["x"]}],
            }
        )
