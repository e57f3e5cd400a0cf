"""What Go's types leave out, and how quantities are written."""

from __future__ import annotations

from typing import Any

import pytest
from mlsysops_embedded.machinery.shapes import blank, tidy
from mlsysops_embedded.validation.quantities import canonical_quantity


def tidied(kind: str, obj: dict[str, Any], api_version: str = "v1") -> dict[str, Any]:
    tidy(api_version, kind, obj)
    return obj


def test_empty_plain_fields_are_left_out() -> None:
    container = {"name": "c", "stdin": False, "workingDir": "", "command": [], "env": [{"name": "A", "value": ""}]}
    spec = {"hostNetwork": False, "nodeSelector": {}, "containers": [container]}
    assert tidied("Pod", {"spec": spec})["spec"] == {
        "containers": [{"name": "c", "env": [{"name": "A"}]}],
    }


def test_zero_values_of_pointers_are_meant() -> None:
    spec = {"replicas": 0, "revisionHistoryLimit": 0, "minReadySeconds": 0, "paused": False}
    assert tidied("Deployment", {"spec": spec}, "apps/v1")["spec"] == {"replicas": 0, "revisionHistoryLimit": 0}


def test_what_is_always_written_stays() -> None:
    status = {"name": "c", "ready": False, "restartCount": 0, "image": "", "imageID": "", "containerID": ""}
    kept = {"name": "c", "ready": False, "restartCount": 0, "image": "", "imageID": ""}
    assert tidied("Pod", {"status": {"containerStatuses": [status]}})["status"]["containerStatuses"] == [kept]


def test_nulls_in_maps_of_strings_are_empty_strings() -> None:
    assert tidied("ConfigMap", {"data": {"a": None}})["data"] == {"a": ""}


def test_wrong_types_are_left_to_validation() -> None:
    obj = {"spec": {"containers": {}, "hostNetwork": 0, "nodeName": [], "volumes": "x"}}
    assert tidied("Pod", obj) == {"spec": {"containers": {}, "hostNetwork": 0, "nodeName": [], "volumes": "x"}}


def test_quantities_may_come_as_numbers() -> None:
    resources = {"limits": {"cpu": 0.5, "memory": 1024}}
    obj = tidied("Pod", {"spec": {"containers": [{"name": "c", "resources": resources}]}})
    assert obj["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "0.5", "memory": "1024"}


def test_unknown_kinds_stay_as_they_are() -> None:
    assert tidied("Widget", {"spec": {"a": ""}}, "example.com/v1") == {"spec": {"a": ""}}


def test_blank() -> None:
    assert blank("apps/v1", "Deployment")["spec"] == {
        "template": {"metadata": {}, "spec": {"containers": []}},
        "strategy": {},
    }


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("0", "0"),
        ("0.1", "100m"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("1.5", "1500m"),
        ("100000", "100k"),
        ("1024", "1024"),
        ("1024Mi", "1Gi"),
        ("0.5Gi", "512Mi"),
        ("0.5Ki", "512"),
        ("1.5Gi", "1536Mi"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("0.0000000001", "1n"),
        ("-2000", "-2k"),
        ("1E", "1E"),
    ],
)
def test_canonical_quantities(given: str, written: str) -> None:
    assert canonical_quantity(given) == written
