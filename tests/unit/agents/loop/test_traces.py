"""What a cycle looks like to OpenTelemetry: one trace each, with a span for every stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from mlsysops_agents.loop import Trigger, cycle
from mlsysops_core.contracts import Scope
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from .conftest import MakeBench, always, policy


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What the loop's own tracer makes; the process' provider can be set but once, and is left alone."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(cycle, "_tracer", provider.get_tracer("mlsysops.loop"))
    return exporter


def traces(spans: InMemorySpanExporter) -> list[Sequence[ReadableSpan]]:
    """The spans of each trace, in the order in which they began."""
    found: dict[int, list[ReadableSpan]] = {}
    for span in sorted(spans.get_finished_spans(), key=lambda span: span.start_time or 0):
        found.setdefault(span.get_span_context().trace_id, []).append(span)
    return list(found.values())


async def raises(_context: dict[str, Any], _asset: str) -> Any:
    raise ValueError("broken")


async def test_a_cycle_is_one_trace_with_its_stages(bench: MakeBench, spans: InMemorySpanExporter) -> None:
    world = await bench(
        policy("acts", always(True), always({"recorder": {"assets": ["a"]}})),
        policy("rests", always(False)),
    )
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(1)

    by_policy = {(trace[0].attributes or {})["mlsysops.policy"]: trace for trace in traces(spans)}
    assert len(traces(spans)) == len(by_policy) == len(world.decisions) == 2
    acts, rests = by_policy["acts"], by_policy["rests"]
    assert [span.name for span in acts] == ["mape.cycle", "mape.analyze", "mape.plan", "mape.execute"]
    assert [span.name for span in rests] == ["mape.cycle", "mape.analyze"]
    for root, *stages in (acts, rests):
        assert root.parent is None
        assert {span.parent.span_id for span in stages if span.parent} == {root.get_span_context().span_id}
    (decision,) = world.of("acts")
    assert dict(acts[0].attributes or {}) == {
        "mlsysops.asset": "a",
        "mlsysops.policy": "acts",
        "mlsysops.decision": decision["id"],
        "mlsysops.verdict": "adapt",
        "mlsysops.outcome": decision["outcome"],
    }


async def test_every_cycle_has_a_trace_of_its_own(bench: MakeBench, spans: InMemorySpanExporter) -> None:
    world = await bench(policy("p", always(False)))
    for asset in ("a", "b"):
        world.engine.add_asset(asset, Scope.APPLICATION)
    await world.clock.advance(1)
    for number in range(3):
        for asset in ("a", "b"):
            world.engine.notify(asset, Trigger("change", str(number)))
        await world.clock.advance(1)
    seen = [(trace[0].attributes or {})["mlsysops.asset"] for trace in traces(spans)]
    assert sorted(seen) == ["a"] * 4 + ["b"] * 4


async def test_a_fault_is_in_the_trace_of_its_cycle(bench: MakeBench, spans: InMemorySpanExporter) -> None:
    world = await bench(policy("broken", raises))
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.settle()
    ((root, analyze),) = traces(spans)
    assert (root.attributes or {})["mlsysops.verdict"] == "error"
    assert [event.name for event in root.events] == ["exception"]
    assert analyze.status.status_code is StatusCode.ERROR
