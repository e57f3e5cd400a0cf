"""OTLP, protobuf and JSON, to points and back."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlsysops_agents.adapters.telemetry import Kind, Point, SeriesKey
from mlsysops_agents.adapters.telemetry.otlp import (
    Encoding,
    decode_request,
    encode_error,
    encode_request,
    encode_response,
)
from mlsysops_core.errors import InvalidInput
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    AGGREGATION_TEMPORALITY_DELTA,
    DataPointFlags,
    Metric,
)

NOW = 1_000_000.0
text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zs"]), min_size=1, max_size=20)
attributes = st.dictionaries(text.filter(lambda key: not key.startswith("telemetry.sdk.")), text, max_size=4)
points = st.builds(
    Point,
    key=st.builds(SeriesKey.make, text, attributes, attributes),
    value=st.floats(allow_nan=False, allow_infinity=False),
    time=st.integers(1, 4_000_000_000).map(float),
    kind=st.sampled_from([Kind.GAUGE, Kind.COUNTER, Kind.SUM]),
    unit=st.sampled_from(["", "By", "1"]),
)


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
@given(data=st.data())
def test_round_trip(encoding: Encoding, data: st.DataObject) -> None:
    # One unit a metric, as in OTLP; attribute names of the SDK are noise on purpose.
    given_points = data.draw(st.lists(points, max_size=8, unique_by=lambda point: (point.key, point.kind)))
    units = {(point.key.resource, point.key.metric, point.kind): point.unit for point in reversed(given_points)}
    given_points = [
        Point(p.key, p.value, p.time, p.kind, units[p.key.resource, p.key.metric, p.kind]) for p in given_points
    ]

    decoded = decode_request(encode_request(given_points, encoding=encoding), encoding, now=NOW)

    assert decoded.rejected == 0
    assert sorted(map(repr, decoded.points)) == sorted(map(repr, given_points))


def request_with(metric: Metric, **resource: str) -> bytes:
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    for key, value in resource.items():
        group.resource.attributes.add(key=key.replace("_", ".")).value.string_value = value
    group.scope_metrics.add().metrics.append(metric)
    return bytes(request.SerializeToString())


def test_histogram_becomes_mean_count_and_sum() -> None:
    metric = Metric(name="latency", unit="ms")
    metric.histogram.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    metric.histogram.data_points.add(
        count=4, sum=10.0, time_unix_nano=5_000_000_000, explicit_bounds=[1], bucket_counts=[1, 3]
    )

    found = {point.key.metric: point for point in decode_request(request_with(metric), "protobuf", now=NOW).points}

    assert {name: (point.value, point.kind) for name, point in found.items()} == {
        "latency": (2.5, Kind.GAUGE),
        "latency.count": (4.0, Kind.COUNTER),
        "latency.sum": (10.0, Kind.COUNTER),
    }
    assert found["latency"].time == 5.0
    assert found["latency"].unit == "ms"


def test_empty_histogram_has_no_mean() -> None:
    metric = Metric(name="latency")
    metric.exponential_histogram.aggregation_temporality = AGGREGATION_TEMPORALITY_DELTA
    metric.exponential_histogram.data_points.add(count=0, sum=0.0, time_unix_nano=1)

    found = decode_request(request_with(metric), "protobuf", now=NOW).points

    assert [(point.key.metric, point.kind) for point in found] == [
        ("latency.count", Kind.DELTA_COUNTER),
        ("latency.sum", Kind.DELTA_COUNTER),
    ]


def test_summary() -> None:
    metric = Metric(name="latency")
    metric.summary.data_points.add(count=2, sum=6.0, time_unix_nano=1)

    found = {
        point.key.metric: point.value for point in decode_request(request_with(metric), "protobuf", now=NOW).points
    }

    assert found == {"latency": 3.0, "latency.count": 2.0, "latency.sum": 6.0}


def test_points_without_time_are_of_now() -> None:
    metric = Metric(name="m")
    metric.gauge.data_points.add(as_int=3)

    assert decode_request(request_with(metric), "protobuf", now=NOW).points[0].time == NOW


def test_what_cannot_be_stored_is_counted_with_a_reason() -> None:
    metric = Metric(name="m")
    metric.gauge.data_points.add(as_double=float("nan"))
    metric.gauge.data_points.add()
    metric.gauge.data_points.add(as_int=1)
    metric.gauge.data_points.add(flags=DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK)

    decoded = decode_request(request_with(metric), "protobuf", now=NOW)

    assert (len(decoded.points), decoded.rejected) == (1, 2)
    assert decoded.reason == "m: the value is not finite"
    nameless = Metric()
    nameless.gauge.data_points.add(as_int=1)
    assert decode_request(request_with(nameless), "protobuf", now=NOW).rejected == 1


def test_attributes_are_trimmed_defaulted_and_without_the_sdk() -> None:
    metric = Metric(name="m")
    metric.gauge.data_points.add(as_int=1)
    body = request_with(metric, service_name="a", telemetry_sdk_name="x", **{" service.experimentid": " test"})

    (point,) = decode_request(
        body, "protobuf", now=NOW, defaults={"k8s.node.name": "n1", "service.name": "unknown"}
    ).points

    assert dict(point.key.resource) == {"service.name": "a", "service.experimentid": "test", "k8s.node.name": "n1"}


def test_typed_attribute_values_become_text() -> None:
    metric = Metric(name="m")
    entry = metric.gauge.data_points.add(as_int=1)
    entry.attributes.add(key="flag").value.bool_value = True
    entry.attributes.add(key="number").value.int_value = 5
    entry.attributes.add(key="list").value.array_value.values.add().string_value = "x"
    entry.attributes.add(key="none")

    (point,) = decode_request(request_with(metric), "protobuf", now=NOW).points

    found = dict(point.key.attributes)
    assert (found["flag"], found["number"], found["none"]) == ("true", "5", "")
    assert json.loads(found["list"])["arrayValue"]


def test_too_many_attributes_are_cut() -> None:
    metric = Metric(name="m" * 1000)
    entry = metric.gauge.data_points.add(as_int=1)
    for index in range(100):
        entry.attributes.add(key=f"a{index}").value.string_value = "v" * 5000

    (point,) = decode_request(request_with(metric), "protobuf", now=NOW).points

    assert len(point.key.attributes) == 32
    assert max(len(value) for _, value in point.key.attributes) == 256
    assert len(point.key.metric) == 256


def test_json_as_other_sdks_write_it() -> None:
    body = {
        "resourceMetrics": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "web"}}]},
                "scopeMetrics": [
                    {
                        "scope": {"name": "s", "futureField": 1},
                        "metrics": [
                            {
                                "name": "requests",
                                "sum": {
                                    "aggregationTemporality": 2,
                                    "isMonotonic": True,
                                    "dataPoints": [{"asInt": "7", "timeUnixNano": "1544712660300000000"}],
                                },
                            }
                        ],
                    }
                ],
            }
        ]
    }

    (point,) = decode_request(json.dumps(body).encode(), "json", now=NOW).points

    assert (point.value, point.kind, point.time) == (7.0, Kind.COUNTER, 1544712660.3)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"\xff\xff\xff", "protobuf"),
        (b"not protobuf at all", "protobuf"),
        (b"{", "json"),
        (b"[]", "json"),
        (b"\xff\xfe", "json"),
        (b'{"resourceMetrics": 5}', "json"),
        (b'{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": {}}]}]}]}', "json"),
    ],
)
def test_garbage_is_refused(body: bytes, encoding: Encoding) -> None:
    with pytest.raises(InvalidInput, match="not an OTLP metrics request"):
        decode_request(body, encoding, now=NOW)


@given(st.binary(max_size=200), st.sampled_from(["protobuf", "json"]))
def test_no_bytes_do_worse_than_being_refused(body: bytes, encoding: Encoding) -> None:
    with contextlib.suppress(InvalidInput):
        decode_request(body, encoding, now=NOW)


KEYS = [
    "resourceMetrics",
    "scopeMetrics",
    "metrics",
    "name",
    "gauge",
    "dataPoints",
    "asInt",
    "timeUnixNano",
    "resource",
]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KEYS), values))
def test_no_json_does_worse_than_being_refused(value: object) -> None:
    with contextlib.suppress(InvalidInput):
        decode_request(json.dumps(value).encode(), "json", now=NOW)


def test_responses() -> None:
    assert encode_response("protobuf") == b""
    assert encode_response("json") == b"{}"
    partial = ExportMetricsServiceResponse.FromString(encode_response("protobuf", rejected=3, message="why"))
    assert (partial.partial_success.rejected_data_points, partial.partial_success.error_message) == (3, "why")
    assert json.loads(encode_response("json", rejected=3, message="why")) == {
        "partialSuccess": {"rejectedDataPoints": "3", "errorMessage": "why"}
    }


def test_errors_are_google_rpc_status() -> None:
    assert json.loads(encode_error("json", 3, "why")) == {"code": 3, "message": "why"}
    assert encode_error("protobuf", 3, "why") == b"\x08\x03\x12\x03why"
    assert encode_error("protobuf", 3, "x" * 300)[:5] == b"\x08\x03\x12\xac\x02"
