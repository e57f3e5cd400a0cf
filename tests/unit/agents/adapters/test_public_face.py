"""What the adapters promise to tiers: taking a name away must be a decision."""

from __future__ import annotations

from mlsysops_agents.adapters import kubernetes, telemetry


def test_kubernetes() -> None:
    assert kubernetes.__all__ == [
        "AlreadyExists",
        "Backoff",
        "Change",
        "ChangeKind",
        "EventRecorder",
        "Expired",
        "Heartbeat",
        "Informer",
        "KubernetesClient",
        "KubernetesObjects",
        "PatchType",
        "Resource",
        "StatusWriter",
        "Throttled",
        "lease_name",
    ]
    assert all(hasattr(kubernetes, name) for name in kubernetes.__all__)


def test_telemetry() -> None:
    assert telemetry.__all__ == [
        "CollectorHeaders",
        "Forwarder",
        "HostMetrics",
        "HostSnapshot",
        "HttpPush",
        "Kind",
        "OtlpReceiver",
        "Point",
        "Query",
        "SeriesKey",
        "TelemetryStore",
        "export_traces",
        "kept_windows",
        "telemetry_argument",
    ]
    assert all(hasattr(telemetry, name) for name in telemetry.__all__)
