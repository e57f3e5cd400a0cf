"""The page of `mls framework status`: what a person wants to know of a slice, in one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlsysops_cli.output import render_table
from mlsysops_cli.views import AGENTS, RELATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["status_page"]


def status_page(document: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        document: What ``-o json`` prints: ``slice``, ``engine``, ``inventory``, ``kubeconfigs``, ``processes`` and
            ``state``, the northbound API's answer to ``GET /v1/slice`` or why there is none (``error``).
    """
    state = document["state"]
    parts = [_head(document, state), _processes(document["processes"])]
    if "error" not in state:
        parts += [_agents(state.get("agents") or []), _clusters(state.get("clusters") or [])]
        parts.append(_targets(state.get("systemTargets") or []))
    parts.append("".join(f"kubectl --kubeconfig {path}   # {name}\n" for name, path in document["kubeconfigs"].items()))
    return "\n".join(part for part in parts if part)


def _head(document: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    lines = [f"Slice {document['slice']}: {_summary(document, state)}"]
    facts = [f"engine {document['engine']}"]
    if "error" not in state:
        facts += [f"mls {state.get('version')}", f"Kubernetes {state.get('kubernetesVersion')}"]
        facts.append(f"mode {(state.get('mode') or {}).get('name')}")
    lines.append(f"  {', '.join(facts)}")
    lines.append(f"  from {document['inventory']}")
    if "error" in state:
        lines.append(f"  northbound API: {state['error']}")
    return "".join(f"{line}\n" for line in lines)


def _summary(document: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """Return whether all is well, and what is not: processes first, since agents need theirs."""
    processes = document["processes"]
    if not processes:
        return "not deployed"
    if all(item["state"] == "stopped" for item in processes):
        return "stopped; `mls framework deploy-all` starts it again"
    wrong = [f"{item['name']} is {item['state']}" for item in processes if item["state"] != "running"]
    if "error" not in state:
        wrong += [f"agent {item['name']} is not ready" for item in state.get("agents") or [] if not item.get("ready")]
        wrong += [f"cluster {i['name']} is not ready" for i in state.get("clusters") or [] if not i.get("ready")]
    elif not wrong:
        wrong = ["its northbound API does not answer"]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        return ", ".join(wrong[:3]) + more
    count = state.get("applications", 0)
    well = "ready" if state.get("ready") else "waiting for its agents"
    return f"{well}, {count} application{'' if count == 1 else 's'}"


def _processes(processes: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [p["name"], p["state"], str(p["pid"] or "-"), _duration(p["seconds"]), p["address"] or "-"] for p in processes
    ]
    return render_table(["PROCESS", "STATE", "PID", "UPTIME", "ADDRESS"], rows) if rows else ""


def _agents(agents: Sequence[Mapping[str, Any]]) -> str:
    if not agents:
        return "No agent has reported yet.\n"
    # A version column only where somebody tells a version.
    columns = [column for column in AGENTS.columns if not column.wide or any(agent.get("version") for agent in agents)]
    rows = [[column.cell(agent) for column in columns] for agent in agents]
    return render_table(["AGENT" if column.title == "NAME" else column.title for column in columns], rows)


def _clusters(clusters: Sequence[Mapping[str, Any]]) -> str:
    if not clusters:
        return ""
    rows = [
        [
            cluster["name"],
            "True" if cluster.get("ready") else "False",
            f"{cluster.get('nodesReady', 0)}/{cluster.get('nodesTotal', 0)}",
            cluster.get("message") or "",
        ]
        for cluster in clusters
    ]
    return render_table(["CLUSTER", "READY", "NODES", "MESSAGE"], rows)


def _targets(targets: Sequence[Mapping[str, Any]]) -> str:
    if not targets:
        return ""
    rows = [
        [item["metric"], RELATIONS.get(item["relation"], item["relation"]), f"{item['target']:g}"] for item in targets
    ]
    return render_table(["METRIC OF THE SLICE", "RELATION", "TARGET"], rows)


def _duration(seconds: int | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
