"""The description of an application: its components, how they interact, and when its owner is satisfied."""

from __future__ import annotations

from pydantic import Field, model_validator

from mlsysops_core.model import rules
from mlsysops_core.model import vocabulary as words
from mlsysops_core.model.common import Model, Root, raise_problems, rule, with_rules
from mlsysops_core.model.components import Component, NodePlacement
from mlsysops_core.model.scalars import Identifier, Instances, MetricName, Name, Number, Share, ShareAboveZero

__all__ = [
    "AchievementWeight",
    "Application",
    "ClusterLocation",
    "ClusterPlacement",
    "GlobalSatisfaction",
    "Interaction",
    "InteractionMetric",
    "SingleNode",
]

_APPLICATION_RULES = [
    rule(
        "self.components.all(c, self.components.exists_one(d, d.metadata.name == c.metadata.name))",
        "component names must be unique",
    ),
    rule(
        "self.components.all(c, !has(c.depends_on) || c.depends_on.all(d, self.components.exists(e, e.metadata.name == d)))",
        "depends_on must name components of the application",
    ),
    rule(
        "!has(self.component_interactions) || self.component_interactions.all(i,"
        " self.components.exists(c, c.metadata.name == i.component_name1) && self.components.exists(c, c.metadata.name == i.component_name2))",
        "component_interactions must name components of the application",
    ),
    rule(
        "!has(self.single_node) || self.single_node.all(s, s.components.all(n, self.components.exists(c, c.metadata.name == n)))",
        "single_node must name components of the application",
    ),
    rule(
        "!has(self.global_satisfaction) || !has(self.global_satisfaction.achievement_weights)"
        " || self.global_satisfaction.achievement_weights.all(w,"
        " self.components.exists(c, has(c.qos_metrics) && c.qos_metrics.exists(m, m.application_metric_id == w.metric_id))"
        " || (has(self.component_interactions) && self.component_interactions.exists(i, has(i.interaction_metrics)"
        " && i.interaction_metrics.exists(m, has(m.system_metric_id) && m.system_metric_id == w.metric_id))))",
        "achievement_weights must name metrics of the application",
    ),
]


class ClusterLocation(Model):
    """Where the cluster must lie."""

    continent: list[words.Continent] = Field([], max_length=8, description="Continents.")
    country: list[words.Country] = Field(
        [],
        max_length=16,
        description="Countries: Greece, Italy, France, Netherlands, Ireland, Portugal, Denmark, Israel.",
    )
    city: list[words.City] = Field([], max_length=16, description="Cities.")


class ClusterPlacement(Model):
    """What the clusters of the application must be like."""

    cluster_id: list[Identifier] = Field([], max_length=256, description="Clusters that can host the application.")
    instances: Instances | None = Field(None, description="Number of replicas of the whole application.")
    location: ClusterLocation | None = Field(None, description="Where the clusters must lie.")
    cloud_provider: words.CloudProvider | None = Field(None, description="Provider of the clusters.")
    accelerators: list[words.Accelerator] = Field(
        [], max_length=8, description="Accelerators of which candidate clusters must have at least one instance each."
    )
    node_types: list[words.Layer] = Field(
        [], max_length=8, description="Kinds of node (layers) of which candidate clusters must have at least one each."
    )


class SingleNode(NodePlacement):
    """Components that must run together on one node; overrides their node_placement."""

    components: list[Name] = Field(min_length=1, max_length=64, description="Components that run on the same node.")


class InteractionMetric(Model):
    """A system-level metric of an interaction, and its target."""

    model_config = with_rules(
        rule(
            "!has(self.system_metric_id) || !has(self.measurement_unit)"
            " || (self.system_metric_id == 'bandwidth') == (self.measurement_unit == 'Mbps')",
            "bandwidth is measured in Mbps, latency and delay in seconds or milliseconds",
        )
    )

    system_metric_id: words.InteractionMetricName | None = Field(None, description="Name of the system-level metric.")
    target: Number | None = Field(None, description="Target value, in measurement_unit.")
    measurement_unit: words.InteractionUnit | None = Field(
        None, description="Mbps for bandwidth; seconds or milliseconds for latency and delay."
    )
    relation: words.Relation | None = Field(None, description="How the measured value must relate to the target.")


class Interaction(Model):
    """Traffic between two components."""

    component_name1: Name = Field(description="The source component.")
    type: words.InteractionType | None = Field(None, description="Direction, as the source sees it.")
    component_name2: Name = Field(description="The destination component.")
    interaction_criticality: words.Criticality | None = Field(
        None, description="How critical the interaction is, for the sake of trust."
    )
    interaction_metrics: list[InteractionMetric] = Field(
        [], max_length=8, description="Metrics of the interaction, and their targets."
    )


class AchievementWeight(Model):
    """How much a metric counts."""

    metric_id: MetricName = Field(description="Name of a metric of the application.")
    weight: Share = Field(description="Its part of the satisfaction (0 to 1); all parts sum to 1.")


class GlobalSatisfaction(Model):
    """When the application's owner is satisfied."""

    model_config = with_rules(
        rule(
            "!has(self.achievement_weights) || size(self.achievement_weights) == 0"
            " || (self.achievement_weights.map(w, w.weight).sum() > 0.999 && self.achievement_weights.map(w, w.weight).sum() < 1.001)",
            "the weights must sum to 1",
        )
    )

    threshold: ShareAboveZero | None = Field(
        None, description="Weighted share of satisfied metrics that is needed (0, 1]."
    )
    relation: words.SatisfactionRelation | None = Field(None, description="How the share must relate to the threshold.")
    achievement_weights: list[AchievementWeight] = Field([], max_length=64, description="How much each metric counts.")


class Application(Root):
    """MLSysOps application formal specification."""

    model_config = with_rules(*_APPLICATION_RULES)

    name: Name = Field(description="Name of the application.")
    cluster_placement: ClusterPlacement | None = Field(
        None, description="What the clusters of the application must be like."
    )
    single_node: list[SingleNode] = Field(
        [], max_length=32, description="Groups of components that must run together on one node."
    )
    components: list[Component] = Field(min_length=1, max_length=64, description="Components of the application.")
    component_interactions: list[Interaction] = Field([], max_length=128, description="Traffic between components.")
    permitted_actions: list[words.ApplicationAction] = Field(
        [],
        max_length=16,
        description="What agents may do with the application; * is everything. "
        "Traffic redirection must be permitted by the node's description too.",
    )
    global_satisfaction: GlobalSatisfaction | None = Field(
        None, description="When the application's owner is satisfied."
    )

    @model_validator(mode="after")
    def _cross_field_rules(self) -> Application:
        raise_problems("Application", rules.application(self.model_dump(by_alias=True, exclude_none=True)))
        return self

    def component(self, name: str) -> Component | None:
        """Finds a component by name."""
        return next((component for component in self.components if component.name == name), None)
