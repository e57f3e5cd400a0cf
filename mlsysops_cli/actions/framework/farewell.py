"""Before agents that are pods are removed: every node agent puts its node's settings back and says so.

A DaemonSet that is deleted tells its pods nothing, so they are told by a ConfigMap, and answer in their Leases
(`mlsysops_agents.node.farewell`).
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_core.model.agents import UNINSTALL, UNINSTALLED

from mlsysops_cli.ansible_plugins.module_utils.mls_farewell import answer_of, ask
from mlsysops_cli.ansible_plugins.module_utils.mls_kubernetes import Api, ApiError, ApiUnreachableError
from mlsysops_cli.render.configs import FRAMEWORK_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["put_settings_back", "withdraw_request"]

Plan = dict[str, Any]

_SECONDS = 60.0
_CONFIG_MAPS = f"/api/v1/namespaces/{FRAMEWORK_NAMESPACE}/configmaps"
_LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{FRAMEWORK_NAMESPACE}/leases"


@dataclass(slots=True)
class _Asked:
    """One API whose node agents are asked: node to why it counts as not done, empty where nothing came yet."""

    api: Api
    request: str
    open: dict[str, str] = field(default_factory=dict)


def put_settings_back(plan: Plan, *, note: Callable[[str], None], seconds: float = _SECONDS) -> list[str]:
    """Have all node agents that are pods put back what they changed on their nodes.

    An API that does not answer is left to those who remove what is in it: they say so.

    Args:
        plan: The deployment plan.
        note: Told what goes on.
        seconds: How long answers are waited for, of all nodes together.

    Returns:
        One line for each node whose settings may not be what they were, and why.
    """
    asked: list[_Asked] = []
    for part in _pods(plan):
        for workload in part["rollouts"]:
            if workload["kind"] == "DaemonSet":
                try:
                    asked += _ask(Api(part["kubeconfig"], timeout=10.0, retries=1), workload)
                except (ApiError, ApiUnreachableError) as exc:
                    note(f"note: node agents are not told to put settings back: {exc}")
    if asked:
        note(f"waiting until {sum(len(one.open) for one in asked)} nodes have their settings back")
    deadline = time.monotonic() + seconds
    while True:
        for one in asked:
            _look(one)
        if time.monotonic() >= deadline or all(all(one.open.values()) for one in asked):
            break
        time.sleep(0.2)
    return [
        f"{node} ({why or f'its agent did not answer within {seconds:.0f} s'})"
        for one in asked
        for node, why in sorted(one.open.items())
    ]


def withdraw_request(plan: Plan) -> None:
    """Delete what told node agents, once they are gone; an API that does not answer keeps it until the next deployment."""
    for part in _pods(plan):
        with contextlib.suppress(ApiError, ApiUnreachableError):
            Api(part["kubeconfig"], timeout=10.0, retries=0).delete(f"{_CONFIG_MAPS}/{UNINSTALL}")


def _pods(plan: Plan) -> list[Plan]:
    """Return what runs as pods, where the deployment came so far that there is a way to ask for it."""
    parts = [part for api in plan.get("apis", {}).values() for part in api["pods"]]
    return [part for part in parts if Path(part["kubeconfig"]).exists()]


def _ask(api: Api, workload: Mapping[str, str]) -> list[_Asked]:
    """Tell the agents of a DaemonSet; nothing where it has no pods."""
    found = api.get(f"/apis/apps/v1/namespaces/{workload['namespace']}/daemonsets/{workload['name']}")
    if found is None:
        return []
    selector = ",".join(f"{key}={value}" for key, value in sorted(found["spec"]["selector"]["matchLabels"].items()))
    pods = api.request("GET", f"/api/v1/namespaces/{workload['namespace']}/pods", labelSelector=selector)
    nodes = {str(node): "" for pod in pods.get("items") or () if (node := (pod.get("spec") or {}).get("nodeName"))}
    if not nodes:
        return []
    return [_Asked(api, ask(api, UNINSTALL, FRAMEWORK_NAMESPACE), nodes)]


def _look(asked: _Asked) -> None:
    """Strike out the nodes that have answered."""
    if all(asked.open.values()):
        return
    try:
        leases = asked.api.request("GET", _LEASES, labelSelector="mlsysops.eu/tier=node").get("items") or ()
    except (ApiError, ApiUnreachableError):
        return
    for lease in leases:
        node = (lease["metadata"].get("labels") or {}).get("mlsysops.eu/agent", "")
        answer = answer_of(lease, UNINSTALLED)
        if node in asked.open and answer.get("request") == asked.request:
            if answer.get("fault"):
                asked.open[node] = str(answer["fault"])
            else:
                del asked.open[node]
