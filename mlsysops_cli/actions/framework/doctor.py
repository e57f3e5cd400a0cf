"""What `mls framework doctor` does: look at everything a slice stands on, and say how to mend what is wrong."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import MlsError

from mlsysops_cli.actions.framework.change import HostAccess
from mlsysops_cli.actions.framework.chosen import plan_of, supervisor_of
from mlsysops_cli.actions.framework.status import process_rows
from mlsysops_cli.ansible_plugins.module_utils import mls_ports
from mlsysops_cli.ansible_plugins.module_utils.mls_kubernetes import Api, ApiError, ApiUnreachableError
from mlsysops_cli.ansible_programs import ansible_program
from mlsysops_cli.client.session import connect
from mlsysops_cli.context import config_dir, current_context_name
from mlsysops_cli.output import Column, Table, emit
from mlsysops_cli.slice import SliceState, known_slices, slices_root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlsysops_cli.settings import Settings

__all__ = ["doctor"]

_NEEDED = {
    "deploy": ("ansible", "ansible_runner", "jinja2", "kubernetes"),
    "agents": ("aiohttp", "opentelemetry", "psutil"),
    "northbound": ("fastapi", "uvicorn"),
    "embedded": ("supervisor", "uvicorn", "cryptography"),
}
_FREE_BYTES = 200_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `fix` says how to mend it and is empty where all is well."""

    check: str
    found: str
    fix: str = ""


def doctor(settings: Settings, name: str | None) -> bool:
    """Look at this machine and at a slice; return whether all is well."""
    findings = list(_machine())
    wanted = name or settings.context or current_context_name()
    known = known_slices()
    if wanted is None and len(known) == 1:
        wanted = known[0]
    if wanted:
        findings += _slice(settings, SliceState.load(wanted))
    rows = [
        {"check": f.check, "state": "fail" if f.fix else "ok", "found": f.found, "fix": f.fix or None} for f in findings
    ]
    columns = [Column("CHECK", "check"), Column("STATE", "state"), Column("FOUND", "found"), Column("FIX", _fix)]
    emit(settings, {"items": rows}, Table(kind="check", name="check", columns=columns))
    return not any(finding.fix for finding in findings)


def _fix(row: Any) -> str:
    return row["fix"] or "-"


def _machine() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", version, "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer")
    for extra, modules in _NEEDED.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        found = f"lacks {', '.join(missing)}" if missing else "complete"
        yield Finding(f"extra {extra}", found, f"pip install 'mlsysops-cli[{extra}]'" if missing else "")
    try:
        yield Finding("ansible", ansible_program("ansible-playbook"))
    except MlsError as exc:
        yield Finding("ansible", exc.message, exc.hint)
    place = slices_root()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    yield Finding("disk", f"{free // 10**6} MB free in {place}", "" if free >= _FREE_BYTES else "make room")
    writable = os.access(place, os.W_OK)
    yield Finding("state directory", str(slices_root()), "" if writable else f"make {place} writable for this user")


def _slice(settings: Settings, state: SliceState) -> Iterator[Finding]:
    context = config_dir() / "contexts" / f"{state.name}.json"
    if context.is_file():
        private = stat.S_IMODE(context.stat().st_mode) == 0o600
        yield Finding("context", str(context), "" if private else f"chmod 600 {context}")
    else:
        yield Finding("context", "missing", "run `mls framework deploy-all` again")
    supervisor = supervisor_of(state)
    plan = plan_of(state)
    if any(part["local"] for part in plan.get("hosts", {}).values()) or not plan:
        running = supervisor.running()
        found = f"process {supervisor.pid()}" if running else "not running"
        yield Finding("supervisor", found, "" if running else _again(state))
    try:
        rows = process_rows(settings, state, plan, HostAccess())
    except MlsError as exc:
        yield Finding("hosts over SSH", str(exc), exc.hint or "see `mls framework status`")
        rows = []
    for row in rows:
        log = f"see `{row['log']}`" if row["log"].startswith("kubectl") else f"see `mls framework logs {row['name']}`"
        good = row["state"] == "running"
        yield Finding(row["name"], row["state"], "" if good else f"{log}, then {_again(state)}")
    yield from _ports(plan, {int(info["pid"]) for info in supervisor.processes()})
    yield from _apis(plan)
    settings.context = state.name
    try:
        with connect(settings, timeout=3.0) as api:
            api.get("/v1/slice")
        yield Finding("northbound API", "answers")
    except MlsError as exc:
        yield Finding("northbound API", exc.message, exc.hint or _again(state))


def _again(state: SliceState) -> str:
    return f"run `mls framework deploy-all --inventory {state.inventory}`"


def _ports(plan: dict[str, Any], own: set[int]) -> Iterator[Finding]:
    for host, part in plan.get("hosts", {}).items():
        for port in part["ports"]:
            inode = mls_ports.listener(port["address"], port["port"])
            holder = mls_ports.owner(inode) if inode is not None else None
            if holder and holder[0] not in own:
                found = f"held by process {holder[0]} ({holder[1]})"
                yield Finding(f"port {port['port']} of {host}", found, "stop that process")


def _apis(plan: dict[str, Any]) -> Iterator[Finding]:
    planes = {
        host: part["controlplane"]["apply"]["kubeconfig"]
        for host, part in plan.get("hosts", {}).items()
        if part["controlplane"]
    }
    planes |= {host: entry["kubeconfig"] for host, entry in plan.get("apis", {}).items()}
    for host, place in planes.items():
        kubeconfig = Path(place)
        check = f"control plane of {host}"
        if not kubeconfig.is_file():
            yield Finding(check, f"no {kubeconfig}", "run `mls framework deploy-all` again")
            continue
        try:
            nodes = Api(str(kubeconfig)).request("GET", "/api/v1/nodes").get("items", [])
        except (ApiError, ApiUnreachableError) as exc:
            yield Finding(check, str(exc), f"see `mls framework logs {host}-controlplane`")
            continue
        yield Finding(check, "answers")
        for node in nodes:
            ready = [c for c in node.get("status", {}).get("conditions", []) if c.get("type") == "Ready"]
            good = bool(ready) and ready[0].get("status") == "True"
            name = node["metadata"]["name"]
            yield Finding(
                f"node {name}", "ready" if good else "not ready", "" if good else f"see `mls framework logs {name}`"
            )
