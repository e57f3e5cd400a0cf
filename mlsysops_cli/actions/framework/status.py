"""What `mls framework status` does: the supervisor's table and the slice's own account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import MlsError

from mlsysops_cli.actions.framework.chosen import chosen_slice, plan_of, supervisor_of
from mlsysops_cli.actions.framework.page import status_page
from mlsysops_cli.actions.framework.pods import pod_rows
from mlsysops_cli.actions.framework.remote import remote_processes
from mlsysops_cli.client.session import connect
from mlsysops_cli.output import emit_document

if TYPE_CHECKING:
    from mlsysops_cli.actions.framework.change import HostAccess
    from mlsysops_cli.settings import Settings
    from mlsysops_cli.slice import SliceState

__all__ = ["process_rows", "status"]


def status(settings: Settings, name: str | None, access: HostAccess) -> bool:
    """Show a slice's processes and what its northbound API says of it; return whether all is well.

    Args:
        settings: Global options.
        name: The slice; the one in use where None.
        access: How hosts are reached.
    """
    state = chosen_slice(settings, name)
    plan = plan_of(state)
    processes = process_rows(settings, state, plan, access)
    document: dict[str, Any] = {
        "slice": state.name,
        "engine": state.engine,
        "inventory": state.inventory,
        "kubeconfigs": _kubeconfigs(plan),
        "processes": processes,
    }
    settings.context = state.name
    try:
        with connect(settings, timeout=3.0) as api:
            document["state"] = api.get("/v1/slice")
    except MlsError as exc:
        document["state"] = {"error": str(exc)}
    well = bool(processes) and all(p["state"] == "running" for p in processes) and "error" not in document["state"]
    document["well"] = well
    emit_document(settings, document, kind="slice", name="slice", text=status_page(document))
    return well


def process_rows(
    settings: Settings, state: SliceState, plan: dict[str, Any], access: HostAccess
) -> list[dict[str, Any]]:
    """Return every process and pod that the plan wants, with what the supervisor or its API says of it.

    Raises:
        MlsError: Hosts over SSH cannot be asked at all.
    """
    supervisor = supervisor_of(state)
    stopped = (
        not supervisor.running()
    )  # as after a reboot of this machine: what was deployed is there, and does not run
    table = {info["name"]: info for info in supervisor.processes()}
    remote = remote_processes(settings, state, plan, access)
    table |= {info["name"]: info for infos in (remote or {}).values() for info in infos}
    rows = []
    for host, part in plan.get("hosts", {}).items():
        unknown = "unreachable" if remote is not None and host not in remote else "not deployed"
        if part["local"] and stopped:
            unknown = "stopped"
        programs = [
            p for key in ("controlplane", "kubelet", "agents", "northbound") for p in part[key].get("programs", [])
        ]
        for program in programs:
            info = table.get(program["name"], {})
            running = info.get("statename") == "RUNNING"
            rows.append(
                {
                    "name": program["name"],
                    "host": host,
                    "address": part["address"],
                    "state": str(info.get("statename", unknown)).lower(),
                    "pid": info.get("pid") or None,
                    "seconds": info["now"] - info["start"] if running else None,
                    "log": program["log"],
                }
            )
    return rows + pod_rows(plan)


def _kubeconfigs(plan: dict[str, Any]) -> dict[str, str]:
    if plan.get("apis"):
        return {api["cluster"]: api["kubeconfig"] for api in plan["apis"].values()}
    return {
        part["cluster"]: f"{part['access']['to']}/kubeconfigs/admin.kubeconfig"
        if part["access"]
        else part["controlplane"]["apply"]["kubeconfig"]
        for part in plan.get("hosts", {}).values()
        if part["controlplane"]
    }
