"""Protobuf bodies of Go clients."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery.protobuf import decode_protobuf


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def body(api_version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\x00" + field(1, field(1, api_version.encode()) + field(2, kind.encode())) + field(2, raw)


def test_a_deployment_is_read() -> None:
    metadata = field(1, b"web") + field(3, b"default") + field(8, b"")
    container = (
        field(1, b"c")
        + field(2, b"nginx")
        + field(6, field(1, b"") + field(3, 80) + field(4, b"TCP"))
        + b"\x80\x01\x00"
    )
    template = field(2, field(2, container))
    spec = field(1, 0) + field(3, template) + field(4, b"")
    assert decode_protobuf(body("apps/v1", "Deployment", field(1, metadata) + field(2, spec))) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": 0,
            "template": {
                "spec": {
                    "containers": [{"name": "c", "image": "nginx", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]
                }
            },
        },
    }


def test_maps_and_bytes_are_read() -> None:
    data = field(1, b"k") + field(2, b"\x00\x01")
    assert decode_protobuf(body("v1", "Secret", field(2, data)))["data"] == {"k": "AAE="}


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(ApiError) as error:
        decode_protobuf(body("batch/v1", "Job", b""))
    assert error.value.code == 415


@given(st.binary(max_size=60))
def test_garbage_is_a_bad_request(garbage: bytes) -> None:
    for data in (garbage, b"k8s\x00" + garbage, body("v1", "Pod", garbage)):
        with contextlib.suppress(ApiError):
            decode_protobuf(data)
