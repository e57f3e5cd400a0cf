"""Measurements of this very machine."""

from __future__ import annotations

from pathlib import Path

from mlsysops_agents.adapters.telemetry import HostMetrics, Kind


def test_figures_are_plausible(tmp_path: Path) -> None:
    now = [1_000_000.0]
    host = HostMetrics(disk=tmp_path, now=lambda: now[0])
    first = host.measure()
    now[0] += 5
    second = host.measure()

    assert first.cores >= 1
    assert 0 <= second.cpu <= 1
    assert 0 < second.memory_available < second.memory_total
    assert 0 < second.disk_free <= second.disk_total
    assert (first.receive_rate, first.write_rate) == (0.0, 0.0)
    assert second.receive_rate == (second.received - first.received) / 5
    assert second.write_rate == (second.disk_written - first.disk_written) / 5


def test_points_follow_the_semantic_conventions() -> None:
    host = HostMetrics()
    points = host.points(host.measure(), {"k8s.node.name": "n1", "service.name": "agent"})

    by_name = {point.key.metric: point for point in points}
    assert {
        "system.cpu.utilization",
        "system.cpu.load_average.1m",
        "system.memory.usage",
        "system.memory.utilization",
        "system.filesystem.usage",
        "system.network.io",
        "system.disk.io",
    } <= set(by_name)
    assert by_name["system.network.io"].kind is Kind.COUNTER
    assert by_name["system.memory.usage"].unit == "By"
    assert len({point.key for point in points}) == len(points)
    assert all({"host.name", "k8s.node.name"} <= set(dict(point.key.resource)) for point in points)
