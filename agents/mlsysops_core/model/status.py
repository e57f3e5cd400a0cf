"""The statuses of the five kinds, as agents write and read them.

Tolerant: unknown keys are passed over and everything has a default, so that agents of different versions work together.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

__all__ = [
    "MAX_DECISIONS",
    "AgentHealth",
    "ApplicationStatus",
    "ClusterStatus",
    "ComponentPhase",
    "ComponentRequest",
    "ComponentStatus",
    "Condition",
    "ContinuumStatus",
    "DatacenterStatus",
    "Decision",
    "DecisionDurations",
    "NodeAgent",
    "NodeCounts",
    "NodeMetrics",
    "NodeResources",
    "NodeStatus",
    "PerformanceSample",
    "Phase",
    "PolicyStatus",
    "Rejection",
    "Satisfaction",
    "StatusModel",
    "condition_of",
    "now",
    "set_condition",
]

MAX_DECISIONS = 20
"""Decisions that a status keeps, newest first."""

Phase = Literal["Pending", "Deploying", "Running", "Degraded", "Failed"]
ComponentPhase = Literal["Pending", "Deploying", "Running", "Failed"]


def now() -> str:
    """Returns the time as Kubernetes writes it (RFC 3339, UTC, seconds)."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _none_to_empty(value: Any) -> Any:
    return [] if value is None else value


class StatusModel(BaseModel):
    """Base of statuses: camelCase outside, snake_case inside."""

    model_config = ConfigDict(
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
        serialize_by_alias=True,
        defer_build=True,
        validate_assignment=False,
    )

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values with camelCase keys, without what is unknown (None)."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Condition(StatusModel):
    """A condition of Kubernetes (meta/v1 Condition)."""

    type: str = Field(description="Name of the condition, e.g. Ready.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field("", description="Why, as one CamelCase word.")
    message: str = Field("", description="Why, for people.")
    last_transition_time: str = Field("", description="When status changed last (RFC 3339).")
    observed_generation: int | None = Field(None, description="Generation of the object that this is about.")


Conditions = Annotated[list[Condition], BeforeValidator(_none_to_empty)]


def condition_of(conditions: Sequence[Condition], kind: str) -> Condition | None:
    """Finds a condition by its type."""
    return next((condition for condition in conditions if condition.type == kind), None)


def set_condition(conditions: list[Condition], condition: Condition) -> bool:
    """Sets a condition in place; ``lastTransitionTime`` moves only where ``status`` changes.

    Args:
        conditions: The list to change.
        condition: What to set; without a time it gets the present.

    Returns:
        Whether anything but the time differs from before.
    """
    for index, before in enumerate(conditions):
        if before.type == condition.type:
            same = before.status == condition.status
            time = (
                before.last_transition_time
                if same and before.last_transition_time
                else condition.last_transition_time or now()
            )
            after = condition.model_copy(update={"last_transition_time": time})
            conditions[index] = after
            return after != before
    conditions.append(condition.model_copy(update={"last_transition_time": condition.last_transition_time or now()}))
    return True


class ComponentStatus(StatusModel):
    """Where a component runs and how it does."""

    name: str = Field(description="Name of the component.")
    cluster: str | None = Field(None, description="Cluster that hosts it.")
    node: str | None = Field(None, description="Node that hosts it.")
    phase: str = Field("Pending", description="Pending, Deploying, Running or Failed.")
    ready: bool = Field(False, description="Whether its pod is ready.")
    restarts: int = Field(0, description="How often its containers restarted.")
    pod: str | None = Field(None, description="Name of its pod.")
    address: str | None = Field(None, description="Address of its pod, while it is ready.")
    message: str | None = Field(None, description="Why it is in this phase, for people.")
    since: str | None = Field(None, description="Since when it is in this phase (RFC 3339).")


class PerformanceSample(StatusModel):
    """The present value of a metric against its target."""

    component: str = Field(description="Name of the component.")
    metric: str = Field(description="Name of the metric.")
    value: float | None = Field(None, description="Present value; absent until the application reports one.")
    target: float | None = Field(None, description="Target value.")
    relation: str | None = Field(None, description="How value must relate to target.")
    satisfied: bool | None = Field(None, description="Whether it does; absent without a value.")
    observed_at: str | None = Field(None, description="When the value was reported (RFC 3339).")


class Satisfaction(StatusModel):
    """How satisfied the application's owner is."""

    value: float | None = Field(None, description="Weighted share of satisfied metrics (0 to 1).")
    threshold: float | None = Field(None, description="Share that is needed.")
    relation: str | None = Field(None, description="How value must relate to threshold.")
    satisfied: bool | None = Field(None, description="Whether it does.")


class Rejection(StatusModel):
    """A candidate that was not chosen."""

    candidate: str = Field(description="Name of the node or cluster.")
    filter: str = Field("", description="Filter that removed it.")
    reason: str = Field("", description="Why, for people.")


class DecisionDurations(StatusModel):
    """How long the stages of a decision took."""

    analyze: float | None = Field(None, description="Analysis (ms).")
    plan: float | None = Field(None, description="Planning (ms).")
    execute: float | None = Field(None, description="Execution (ms).")


class Decision(StatusModel):
    """What an agent decided, and why."""

    id: str = Field(description="Unique identifier.")
    time: str = Field("", description="When (RFC 3339).")
    tier: str = Field("", description="Tier of the agent: continuum, cluster or node.")
    agent: str = Field("", description="Name of the agent.")
    asset: str = Field("", description="What it is about, e.g. application/NAME.")
    trigger: str = Field("", description="What led to it.")
    policy: str = Field("", description="Policy that planned it.")
    policy_version: str = Field("", description="Version of the policy.")
    verdict: str = Field("", description="What was concluded.")
    component: str | None = Field(None, description="Component it is about.")
    inputs: dict[str, Any] = Field(default_factory=dict, description="What was seen, metric values among it.")
    plan: dict[str, Any] = Field(default_factory=dict, description="The plan: mechanism -> command.")
    scheduler: str = Field("", description="What the plan scheduler did with it.")
    outcome: str = Field("", description="What came of it.")
    rejected: Annotated[list[Rejection], BeforeValidator(_none_to_empty)] = Field(
        default_factory=list, description="Candidates that were not chosen."
    )
    duration_ms: DecisionDurations | None = Field(None, description="How long the stages took.")


class ApplicationStatus(StatusModel):
    """Status of an application."""

    observed_generation: int | None = Field(None, description="Generation of the object that this is about.")
    phase: str | None = Field(None, description="Summary: Pending, Deploying, Running, Degraded or Failed.")
    conditions: Conditions = Field(default_factory=list, description="Ready, Placed and TargetsMet.")
    components: Annotated[list[ComponentStatus], BeforeValidator(_none_to_empty)] = Field(
        default_factory=list, description="Where each component runs and how it does."
    )
    performance: Annotated[list[PerformanceSample], BeforeValidator(_none_to_empty)] = Field(
        default_factory=list, description="Present values against targets."
    )
    satisfaction: Satisfaction | None = Field(None, description="How satisfied the owner is.")
    decisions: Annotated[list[Decision], BeforeValidator(_none_to_empty)] = Field(
        default_factory=list, description="What agents decided, newest first, at most 20."
    )

    def add_decision(self, decision: Decision) -> None:
        """Puts a decision first and lets the oldest go."""
        self.decisions = [decision, *(other for other in self.decisions if other.id != decision.id)][:MAX_DECISIONS]


class NodeAgent(StatusModel):
    """The agent of a node."""

    version: str | None = Field(None, description="Version of the agent.")
    last_seen: str | None = Field(None, description="When it last reported (RFC 3339).")


class NodeResources(StatusModel):
    """Amounts of a node."""

    cpu: float | None = Field(None, description="Processor (cores).")
    memory: int | None = Field(None, description="Memory (bytes).")
    disk: int | None = Field(None, description="Disk (bytes).")


class NodeMetrics(StatusModel):
    """Measurements of a node."""

    cpu_percent: float | None = Field(None, description="Processor use over all cores (percent).")
    load1: float | None = Field(None, description="Load average over one minute.")
    memory_available_bytes: int | None = Field(None, description="Memory that is available (bytes).")
    disk_free_bytes: int | None = Field(None, description="Disk space that is free (bytes).")
    network_receive_bytes_per_second: float | None = Field(None, description="Traffic in (bytes a second).")
    network_transmit_bytes_per_second: float | None = Field(None, description="Traffic out (bytes a second).")
    observed_at: str | None = Field(None, description="When it was measured (RFC 3339).")


class ComponentRequest(StatusModel):
    """A change of a component's specification that a node asks its cluster for; it stands until taken back."""

    key: str = Field(description="Names the request: application, component, container and kind of change.")
    application: str = Field("", description="The application.")
    component: str = Field("", description="The component; the request counts while it is on this node.")
    container: int = Field(0, description="Which of its containers, counted from 0.")
    action: str = Field("", description="The word of permitted_actions that it needs.")
    image: str | None = Field(None, description="Image to run.")
    runtime_class_name: str | None = Field(None, description="Runtime class to run with.")
    resources: dict[str, dict[str, str]] | None = Field(None, description="Requests and limits of cpu and memory.")
    environment: dict[str, str] | None = Field(None, description="Environment variables.")


class PolicyStatus(StatusModel):
    """What an agent says of one of its policies."""

    name: str = Field(description="Name of the policy.")
    state: str = Field("", description="Running, Off, Pending, Failed or Refused.")
    source: str = Field("", description="built-in, installed, file, sent or settings.")
    version: str = Field("", description="Version that is loaded: of the distribution, or the digest of the file.")
    revision: int | None = Field(None, description="Revision that is loaded, of one that was sent; 0 where none is.")
    wanted_revision: int | None = Field(None, description="Revision that was sent last.")
    target: str | None = Field(None, description="For which agents it was sent.")
    message: str = Field("", description="Why it does not run, or why the revision sent last does not.")


PolicyStatuses = Annotated[list[PolicyStatus], BeforeValidator(_none_to_empty)]


class NodeStatus(StatusModel):
    """Status of a node."""

    observed_generation: int | None = Field(None, description="Generation of the object that this is about.")
    conditions: Conditions = Field(default_factory=list, description="Ready.")
    agent: NodeAgent | None = Field(None, description="The node's agent.")
    capacity: NodeResources | None = Field(None, description="What the node has.")
    free: NodeResources | None = Field(None, description="What is not spoken for.")
    metrics: NodeMetrics | None = Field(None, description="Measurements of the node.")
    requests: Annotated[list[ComponentRequest], BeforeValidator(_none_to_empty)] = Field(
        default_factory=list, description="Changes of components that the node asks its cluster for."
    )
    policies: PolicyStatuses = Field(default_factory=list, description="Policies of the node's agent.")
    decisions: Annotated[list[Decision], BeforeValidator(_none_to_empty)] = Field(
        default_factory=list, description="What the node's agent decided, newest first, at most 20."
    )


class AgentHealth(StatusModel):
    """Whether an agent is alive; from its Lease."""

    name: str = Field(description="Name of the agent.")
    tier: str = Field("", description="continuum, cluster or node.")
    ready: bool = Field(False, description="Whether it renews its Lease.")
    last_seen: str | None = Field(None, description="When it last did (RFC 3339).")
    version: str | None = Field(None, description="Version of the agent.")


class NodeCounts(StatusModel):
    """How many nodes there are."""

    total: int = Field(0, description="Nodes that are registered.")
    ready: int = Field(0, description="Nodes that are ready.")


class ClusterStatus(StatusModel):
    """Status of a cluster."""

    observed_generation: int | None = Field(None, description="Generation of the object that this is about.")
    conditions: Conditions = Field(default_factory=list, description="Ready.")
    agents: Annotated[list[AgentHealth], BeforeValidator(_none_to_empty)] = Field(
        default_factory=list, description="Agents and their health."
    )
    nodes: NodeCounts | None = Field(None, description="How many nodes there are.")
    policies: PolicyStatuses = Field(default_factory=list, description="Policies of the agent of this tier.")
    decisions: Annotated[list[Decision], BeforeValidator(_none_to_empty)] = Field(
        default_factory=list, description="What its agent decided, newest first, at most 20."
    )


class ContinuumStatus(ClusterStatus):
    """Status of a continuum, over all its clusters."""


class DatacenterStatus(StatusModel):
    """Status of a datacenter."""

    observed_generation: int | None = Field(None, description="Generation of the object that this is about.")
    conditions: Conditions = Field(default_factory=list, description="Ready.")
