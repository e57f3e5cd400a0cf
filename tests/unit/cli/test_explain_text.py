"""What `mls apps explain` prints of a decision."""

from __future__ import annotations

from mlsysops_cli.views import explain_text

DECISION = {
    "id": "0123456789abcdef", "time": "2026-01-01T00:00:00.000Z", "tier": "cluster", "agent": "c1", "trigger": "telemetry: latency",
    "policy": "relocate", "policyVersion": "1.2.0", "verdict": "adapt", "component": "web", "outcome": "executed: moved",
    "inputs": {"placed": {"web": "w1", "store": "w1"}, "metrics": {"web/latency": 12.5}},
    "plan": {"fluidity": {"deployment_plan": {"web": [{"action": "move", "src_host": "w1", "target_host": "w2"}]}}},
    "rejected": [
        {"candidate": "w3", "filter": "architecture", "reason": "needs arm64, is amd64"},
        {"candidate": "w4", "filter": "score", "reason": "0.710; w2 has 0.830"},
    ],
    "durationMs": {"analyze": 1.5},
}  # fmt: skip


def test_a_decision_is_told_whole() -> None:
    text = explain_text({"id": "shop", "phase": "Running", "items": [DECISION]})
    assert text.splitlines() == [
        "shop: Running",
        "",
        "2026-01-01T00:00:00.000Z  cluster c1: adapt web  [0123456789abcdef]",
        "  trigger: telemetry: latency",
        "  policy:  relocate 1.2.0",
        "  seen:    web/latency 12.5; web, store on w1",
        "  outcome: executed: moved",
        "  plan:    fluidity: move web from w1 on w2",
        "  removed by architecture:",
        "    w3: needs arm64, is amd64",
        "  scored lower:",
        "    w4: 0.710; w2 has 0.830",
        "  took:    analyze 1.5 ms",
    ]
