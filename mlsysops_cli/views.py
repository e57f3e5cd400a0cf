"""What people read about an application: status, details, performance, explanation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlsysops_cli.output import Column, Table, age, render_table, to_yaml

__all__ = [
    "AGENTS",
    "APPLICATIONS",
    "INFRASTRUCTURE",
    "PERFORMANCE",
    "RELATIONS",
    "SYSTEM_TARGETS",
    "details_text",
    "explain_text",
    "status_text",
]

RELATIONS = {
    "lower_or_equal": "<=",
    "lower_than": "<",
    "greater_or_equal": ">=",
    "greater_than": ">",
    "equal": "=",
}


def _ready(row: Mapping[str, Any]) -> str:
    count = row.get("components") or {}
    return f"{count.get('ready', 0)}/{count.get('total', 0)}"


def _word(value: bool | None, yes: str, no: str, unknown: str = "unknown") -> str:
    return unknown if value is None else yes if value else no


def _holds(value: bool | None) -> str:
    return _word(value, "yes", "no")


def _since(key: str) -> Any:
    return lambda row: age(row.get(key))


APPLICATIONS = Table(
    kind="application",
    name="id",
    columns=(
        Column("NAME", "id"),
        Column("PHASE", "phase"),
        Column("READY", _ready),
        Column("TARGETS", lambda row: _word(row.get("targetsMet"), "met", "missed")),
        Column("CLUSTERS", "clusters"),
        Column("AGE", _since("createdAt")),
        Column("UID", "uid", wide=True),
        Column("MESSAGE", "message", wide=True),
    ),
    empty="no applications: deploy one with `mls apps deploy-app --path FILE`",
)

PERFORMANCE = Table(
    kind="metric",
    name="metric",
    columns=(
        Column("COMPONENT", "component"),
        Column("METRIC", "metric"),
        Column("CURRENT", "value"),
        Column("TARGET", "target"),
        Column("RELATION", lambda row: RELATIONS.get(row.get("relation") or "", row.get("relation"))),
        Column("HOLDS", lambda row: _holds(row.get("satisfied"))),
        Column("OBSERVED", lambda row: age(row["observedAt"]) if row.get("observedAt") else None, wide=True),
    ),
    empty="the description names no qos_metrics",
)

INFRASTRUCTURE = Table(
    kind="infrastructure",
    name="id",
    columns=(
        Column("TYPE", "type"),
        Column("NAME", "id"),
        Column("CLUSTER", "cluster"),
        Column("READY", lambda row: _word(row.get("ready"), "True", "False", "Unknown")),
        Column("AGE", _since("createdAt")),
        Column("MESSAGE", "message", wide=True),
    ),
    empty="nothing is registered: `mls infra register-infra --path FILE`",
)

SYSTEM_TARGETS = Table(
    kind="systemtarget",
    name="metric",
    columns=(Column("METRIC", "metric"), Column("RELATION", "relation"), Column("TARGET", "target")),
    empty="the slice has no targets",
)

AGENTS = Table(
    kind="agent",
    items="agents",
    columns=(
        Column("TIER", "tier"),
        Column("NAME", "name"),
        Column("READY", lambda row: "True" if row.get("ready") else "False"),
        Column("LAST SEEN", lambda row: f"{age(row['lastSeen'])} ago" if row.get("lastSeen") else "never"),
        Column("VERSION", "version", wide=True),
    ),
    empty="no agent has reported yet",
)


def status_text(state: Mapping[str, Any]) -> str:
    """Return how an application is doing: a head, and a line a component."""
    head = [
        ("Application", state["id"]),
        ("Phase", state["phase"]),
        ("Ready", f"{_ready(state)} components"),
        ("Targets", _word(state.get("targetsMet"), "met", "missed")),
    ]
    if state.get("message"):
        head.append(("Message", state["message"]))
    if state.get("observedGeneration") and state["observedGeneration"] < state.get("generation", 0):
        head.append(("Note", "the agents have not seen the latest description yet"))
    text = _head(head)
    components = state.get("componentStatuses") or []
    if components:
        rows = [
            [
                item["name"],
                item.get("cluster") or "<none>",
                item.get("node") or "<none>",
                item.get("phase") or "Pending",
                "yes" if item.get("ready") else "no",
                str(item.get("restarts") or 0),
                age(item["since"]) if item.get("since") else "<none>",
                item.get("message") or "",
            ]
            for item in components
        ]
        titles = ["COMPONENT", "CLUSTER", "NODE", "PHASE", "READY", "RESTARTS", "SINCE", "MESSAGE"]
        text += "\n" + render_table(titles, rows)
    return text


def details_text(details: Mapping[str, Any]) -> str:
    """Return everything known of an application, the way `kubectl describe` does."""
    parts = [status_text(details)]
    conditions = details.get("conditions") or []
    if conditions:
        rows = [
            [item["type"], item["status"], item.get("reason") or "", item.get("message") or ""] for item in conditions
        ]
        parts.append("Conditions:\n" + render_table(["TYPE", "STATUS", "REASON", "MESSAGE"], rows))
    if details.get("performance"):
        cells = [[column.cell(item) for column in PERFORMANCE.columns[:6]] for item in details["performance"]]
        parts.append("Performance:\n" + render_table([column.title for column in PERFORMANCE.columns[:6]], cells))
    parts.append(satisfaction_text(details.get("satisfaction")))
    parts.append("Description:\n" + _indent(to_yaml(details.get("description") or {})))
    return "\n".join(part for part in parts if part)


def satisfaction_text(satisfaction: Mapping[str, Any] | None) -> str:
    """Return one line on the global satisfaction; empty where the description asks for none."""
    if not satisfaction or satisfaction.get("threshold") is None:
        return ""
    value = satisfaction.get("value")
    relation = RELATIONS.get(satisfaction.get("relation") or "", satisfaction.get("relation") or "")
    now = "unknown" if value is None else f"{value:g}"
    return f"Satisfaction: {now} (needs {relation} {satisfaction['threshold']:g}): {_holds(satisfaction.get('satisfied'))}\n"


def explain_text(answer: Mapping[str, Any]) -> str:
    """Return what the agents decided and why, oldest first, so that it reads as a story."""
    lines = [f"{answer['id']}: {answer['phase']}" + (f" - {answer['message']}" if answer.get("message") else "")]
    decisions: Sequence[Mapping[str, Any]] = answer.get("items") or []
    if not decisions:
        lines.append("No agent has decided anything about it yet.")
    for item in reversed(decisions):
        about = f" {item['component']}" if item.get("component") else ""
        agent = " ".join(part for part in (item.get("tier"), item.get("agent")) if part)
        mark = f"  [{item['id']}]" if item.get("id") else ""
        lines += ["", f"{item.get('time') or '(no time)'}  {agent}: {item.get('verdict') or 'decided'}{about}{mark}"]
        policy = " ".join(str(part) for part in (item.get("policy"), item.get("policyVersion")) if part)
        seen = _seen(item.get("inputs") or {})
        for title, text in (
            ("trigger", item.get("trigger")),
            ("policy", policy),
            ("seen", seen),
            ("outcome", item.get("outcome")),
        ):
            if text:
                lines.append(f"  {title + ':':<9}{text}")
        for mechanism, command in (item.get("plan") or {}).items():
            lines.append(f"  {'plan:':<9}{mechanism}: {_plan(command)}")
        lines += _rejected(item.get("rejected") or [])
        times = item.get("durationMs") or {}
        spent = ", ".join(
            f"{stage} {times[stage]:g} ms" for stage in ("analyze", "plan", "execute") if times.get(stage) is not None
        )
        if spent:
            lines.append(f"  {'took:':<9}{spent}")
    return "\n".join(lines) + "\n"


def _seen(inputs: Mapping[str, Any]) -> str:
    """Return the values that a decision was made from on one line: `web/latency 12.5, placed on worker1: web`."""
    values = {
        **{key: value for key, value in inputs.items() if not isinstance(value, Mapping)},
        **(inputs.get("metrics") or {}),
    }
    parts = [f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()]
    by_host: dict[str, list[str]] = {}
    for component, host in (inputs.get("placed") or {}).items():
        by_host.setdefault(str(host), []).append(str(component))
    parts += [f"{', '.join(components)} on {host}" for host, components in by_host.items()]
    return "; ".join(parts)


def _rejected(rejections: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the candidates that were removed, a filter at a time in the order of the filters."""
    by_filter: dict[str, list[Mapping[str, Any]]] = {}
    for item in rejections:
        by_filter.setdefault(item.get("filter") or "(unnamed)", []).append(item)
    lines = []
    for name, items in by_filter.items():
        lines.append("  scored lower:" if name == "score" else f"  removed by {name}:")
        # Components that a candidate cannot take for one and the same reason are one line.
        lines += dict.fromkeys(f"    {_rejection(item)}" for item in items)
    return lines


def _rejection(item: Mapping[str, Any]) -> str:
    name, reason = str(item["candidate"]), str(item.get("reason") or "")
    return f"{name}: {reason.removeprefix(f'{name}: ')}" if reason else name


def _plan(command: Any) -> str:
    """Return a command of a plan in one line; deployment plans as `component action host`."""
    plan = command.get("deployment_plan") if isinstance(command, Mapping) else None
    if not isinstance(plan, Mapping):
        import json

        return json.dumps(command, ensure_ascii=False, sort_keys=True)
    steps = []
    for component, actions in plan.items():
        for action in actions if isinstance(actions, list) else []:
            if isinstance(action, Mapping):
                where = action.get("target_host") or action.get("host") or ""
                source = f" from {action['src_host']}" if action.get("src_host") else ""
                steps.append(f"{action.get('action')} {component}{source} on {where}".removesuffix(" on "))
    return "; ".join(steps) or "nothing to do"


def _head(pairs: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in pairs) + 2
    return "".join(f"{name + ':':<{width}}{value}\n" for name, value in pairs)


def _indent(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())
