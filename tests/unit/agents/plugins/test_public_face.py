"""What plug-ins and tiers may count on: taking a name away must be a decision."""

from __future__ import annotations

from mlsysops_agents import loop, placement
from mlsysops_agents.plugins import mechanisms, policies
from mlsysops_core import contracts, plugins


def test_contracts() -> None:
    assert contracts.__all__ == [
        "AgentIdentity",
        "Clock",
        "KnowledgeStore",
        "MLConnector",
        "Mechanism",
        "Object",
        "Objects",
        "Outcome",
        "PlacementOutcome",
        "PluginHandle",
        "Policy",
        "PolicyContext",
        "Rejected",
        "Sample",
        "Scope",
        "Telemetry",
        "Tier",
    ]


def test_loading() -> None:
    assert plugins.__all__ == [
        "Declaration",
        "LoadedMechanism",
        "LoadedPolicy",
        "ModuleMechanism",
        "PluginError",
        "load_mechanism_file",
        "load_mechanisms",
        "load_policies",
        "load_policy_file",
        "parse_interval",
    ]


def test_rooms() -> None:
    assert {"Engine", "EngineSettings", "PlanScheduler", "SqliteKnowledge", "Trigger", "VirtualClock"} <= set(
        loop.__all__
    )
    assert {"FILTERS", "NodeFacts", "demands_of", "place", "place_on_clusters"} <= set(placement.__all__)
    for module in (contracts, plugins, loop, placement, policies, mechanisms):
        assert all(hasattr(module, name) for name in module.__all__)


def test_built_in_plugins() -> None:
    assert policies.__all__ == [
        "ClusterPlacement",
        "ComponentRequests",
        "DynamicPlacedComponents",
        "RelocateComponents",
        "StaticPlacedComponents",
    ]
    assert mechanisms.__all__ == ["ClusterPlacementMechanism", "Fluidity"]
