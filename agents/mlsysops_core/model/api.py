"""Requests and answers of the northbound API, version 1; its OpenAPI document and the client both come from here.

Members are camelCase in JSON, as in the statuses of our Kubernetes objects. Requests forbid unknown members; answers ignore
them, so that a client and a server of different versions understand each other.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from mlsysops_core.model.status import ComponentStatus, Condition, Decision, PerformanceSample, Satisfaction

__all__ = [
    "AgentInfo",
    "AgentPolicy",
    "AgentsRequest",
    "Answer",
    "ApplicationDecisions",
    "ApplicationDetails",
    "ApplicationList",
    "ApplicationPerformance",
    "ApplicationState",
    "ApplicationSummary",
    "ClusterInfo",
    "ComponentCount",
    "DeployResult",
    "InfrastructureItem",
    "InfrastructureList",
    "Mode",
    "Ping",
    "Problem",
    "ProblemFault",
    "RegisterResult",
    "RemoveResult",
    "SentItem",
    "SentList",
    "SentRevision",
    "SliceInfo",
    "SystemTarget",
]


class Answer(BaseModel):
    """Something the API says; unknown members are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")


class Request(BaseModel):
    """Something a user says; unknown members are faults."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class ProblemFault(Answer):
    """One thing that is wrong with an input, and where."""

    source: str = Field(default="", description="File or URL; empty where there is none.")
    line: int = Field(default=0, description="1-based line; 0 where unknown.")
    column: int = Field(default=0, description="1-based column; 0 where unknown.")
    path: str = Field(default="", description="Dotted path of the value, e.g. `components[0].name`.")
    message: str = Field(default="", description="What is wrong.")
    hint: str = Field(default="", description="What to do about it.")


class Problem(Answer):
    """An error, as RFC 9457 (Problem Details for HTTP APIs) writes it."""

    type: str = Field(default="about:blank", description="`urn:mlsysops:problem:` and the code.")
    title: str = Field(default="", description="The kind of problem, the same each time.")
    status: int = Field(default=500, description="The HTTP status.")
    detail: str = Field(default="", description="What went wrong this time.")
    instance: str = Field(default="", description="The request it belongs to; the server's log has the same.")
    code: str = Field(default="internal-error", description="Machine-readable name of the kind.")
    hint: str = Field(default="", description="What to do about it.")
    faults: list[ProblemFault] = Field(default_factory=list, description="Everything that is wrong with the input.")


class ComponentCount(Answer):
    """How many components an application has, and how many are ready."""

    ready: int = 0
    total: int = 0


class ApplicationSummary(Answer):
    """An application in a list."""

    id: str = Field(description="Name of the application; every path accepts its uid too.")
    uid: str = ""
    phase: str = Field(default="Pending", description="Pending, Deploying, Running, Degraded, Failed or Terminating.")
    message: str = Field(default="", description="Why it is not ready; empty where it is.")
    components: ComponentCount = Field(default_factory=ComponentCount)
    clusters: list[str] = Field(default_factory=list, description="Clusters that host a component, sorted.")
    targets_met: bool | None = Field(default=None, description="Whether its targets hold; null while unknown.")
    created_at: str = Field(default="", description="RFC 3339.")


class ApplicationList(Answer):
    """A page of applications, by name."""

    items: list[ApplicationSummary] = Field(default_factory=list)
    continue_: str = Field(default="", alias="continue", description="Token of the next page; empty on the last.")


class ApplicationState(ApplicationSummary):
    """How an application is doing now."""

    generation: int = Field(default=0, description="Counts the changes of its description.")
    observed_generation: int = Field(default=0, description="The generation this status is about.")
    conditions: list[Condition] = Field(default_factory=list)
    component_statuses: list[ComponentStatus] = Field(default_factory=list)
    satisfaction: Satisfaction | None = None


class ApplicationDetails(ApplicationState):
    """Everything known of an application but its decisions."""

    resource_version: str = Field(default="", description="Also the ETag; for If-Match.")
    placement: dict[str, str] = Field(default_factory=dict, description="Cluster of each component.")
    performance: list[PerformanceSample] = Field(default_factory=list)
    description: dict[str, Any] = Field(default_factory=dict, description="The description, wrapped (`MLSysOpsApp:`).")


class ApplicationPerformance(Answer):
    """The targets of an application, and whether they hold."""

    id: str
    phase: str = "Pending"
    items: list[PerformanceSample] = Field(default_factory=list)
    satisfaction: Satisfaction | None = None


class ApplicationDecisions(Answer):
    """What the agents decided about an application and why, newest first."""

    id: str
    phase: str = "Pending"
    message: str = ""
    items: list[Decision] = Field(default_factory=list)


class DeployResult(Answer):
    """What a deployment did."""

    id: str
    uid: str = ""
    action: Literal["created", "updated", "unchanged"] = "created"
    dry_run: bool = Field(default=False, description="Whether nothing was written.")
    phase: str = "Pending"
    generation: int = 0


class RemoveResult(Answer):
    """What a removal did."""

    id: str
    phase: str = "Terminating"
    dry_run: bool = False
    message: str = ""


class InfrastructureItem(Answer):
    """A registered node, cluster, continuum or datacenter."""

    kind: str = Field(description="MLSysOpsNode, MLSysOpsCluster, MLSysOpsContinuum or MLSysOpsDatacenter.")
    type: str = Field(description="Node, Cluster, Continuum or Datacenter.")
    id: str
    cluster: str = Field(default="", description="Cluster it belongs to; empty where it belongs to none.")
    ready: bool | None = Field(default=None, description="What its agent says; null while unknown.")
    message: str = ""
    created_at: str = ""
    status: dict[str, Any] = Field(default_factory=dict)
    description: dict[str, Any] = Field(default_factory=dict, description="The description, wrapped.")


class InfrastructureList(Answer):
    """A page of infrastructure."""

    items: list[InfrastructureItem] = Field(default_factory=list)
    continue_: str = Field(default="", alias="continue")


class RegisterResult(Answer):
    """What a registration did."""

    kind: str
    id: str
    action: Literal["created", "updated", "unchanged"] = "created"
    dry_run: bool = False


class AgentInfo(Answer):
    """An autonomic agent, as the status of its tier reports it."""

    tier: str
    name: str
    ready: bool = False
    last_seen: str = Field(default="", description="RFC 3339; empty where it was never seen.")
    version: str = ""


class AgentsRequest(Request):
    """A policy or settings for running agents: their text, or an earlier revision of it."""

    target: str = Field(
        min_length=1, max_length=512, description="all, a tier, tier/name, or a label selector (`key=value,…`)."
    )
    text: str = Field(default="", description="The policy's Python text, or the settings as YAML.")
    revision: int = Field(default=0, ge=0, description="Bring back this revision instead; 0 where `text` is given.")
    signature: str = Field(
        default="",
        max_length=128,
        pattern=r"^[A-Za-z0-9+/]*={0,2}$",
        description="Ed25519 signature of a policy's name and digest in base64 (`mls agent sign-policy`).",
    )


class SentRevision(Answer):
    """A version of what was sent to agents."""

    revision: int
    digest: str = ""
    time: str = Field(default="", description="RFC 3339.")
    of: int = Field(default=0, description="The revision it brought back; 0 where it was new.")
    signature: str = Field(default="", description="Its signature in base64; empty where it is not signed.")


class AgentPolicy(Answer):
    """A policy of an agent, as the agent says."""

    tier: str
    agent: str
    name: str
    state: str = Field(default="", description="Running, Off, Pending, Failed or Refused.")
    source: str = Field(default="", description="built-in, file, sent or settings.")
    version: str = ""
    revision: int | None = Field(default=None, description="Revision that is loaded; 0 where none is.")
    wanted_revision: int | None = Field(default=None, description="Revision that was sent last.")
    target: str | None = None
    message: str = ""


class SentItem(Answer):
    """A policy or settings that were sent to agents."""

    kind: Literal["policy", "config"] = "policy"
    name: str
    target: str
    revision: int = 0
    digest: str = ""
    action: Literal["", "created", "updated", "unchanged", "deleted"] = ""
    dry_run: bool = False
    revisions: list[SentRevision] = Field(default_factory=list, description="The newest first; at most 5 are kept.")


class SentList(Answer):
    """What was sent to agents, and what they say of their policies."""

    items: list[SentItem] = Field(default_factory=list)
    agents: list[AgentPolicy] = Field(default_factory=list, description="Empty for settings.")


class ClusterInfo(Answer):
    """A cluster of the slice."""

    name: str
    ready: bool = False
    nodes_ready: int = 0
    nodes_total: int = 0
    message: str = ""


class SystemTarget(Request):
    """A target of the whole slice, e.g. energy."""

    metric: str = Field(min_length=1, max_length=253, description="Name of the metric.")
    relation: Literal["lower_or_equal", "greater_or_equal", "equal", "lower_than", "greater_than"] = "lower_or_equal"
    target: float = Field(allow_inf_nan=False, description="The value, in the metric's unit.")


class Mode(Answer):
    """Whether policies decide by heuristics or by machine learning."""

    mode: Literal[0, 1] = Field(description="0 heuristic, 1 machine learning.")
    name: Literal["heuristic", "ml"] = "heuristic"


class SliceInfo(Answer):
    """The slice as a whole."""

    name: str
    version: str = Field(description="Version of the northbound API's software.")
    kubernetes_version: str = Field(default="", description="Version the continuum's API server reports.")
    mode: Mode
    system_targets: list[SystemTarget] = Field(default_factory=list)
    ready: bool = Field(default=False, description="Every agent and every cluster is ready.")
    agents: list[AgentInfo] = Field(default_factory=list)
    clusters: list[ClusterInfo] = Field(default_factory=list)
    applications: int = 0


class Ping(Answer):
    """Whether the API and the agents are alive."""

    message: str = "Alive"
    ready: bool = Field(default=False, description="Every agent is ready.")
    agents: list[AgentInfo] = Field(default_factory=list)
