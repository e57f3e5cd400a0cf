"""What `mls framework status` and `logs` do: the supervisor's table, the slice's own account, the log files."""

from __future__ import annotations

import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import MlsError, NotFound

from mlsysops_cli.actions.framework.chosen import chosen_slice, plan_of, supervisor_of
from mlsysops_cli.actions.framework.page import status_page
from mlsysops_cli.actions.framework.remote import remote_processes
from mlsysops_cli.client.session import connect
from mlsysops_cli.output import emit_document, write
from mlsysops_cli.slice import slice_directory

if TYPE_CHECKING:
    from mlsysops_cli.settings import Settings
    from mlsysops_cli.slice import SliceState

__all__ = ["logs", "process_rows", "status"]

_POLL = 0.25


def status(settings: Settings, name: str | None) -> bool:
    """Show a slice's processes and what its northbound API says of it; return whether all is well."""
    state = chosen_slice(settings, name)
    plan = plan_of(state)
    processes = process_rows(state, plan)
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


def process_rows(state: SliceState, plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every process that the plan wants, with what the supervisor says of it."""
    table = {info["name"]: info for info in supervisor_of(state).processes()}
    remote = remote_processes(state, plan)
    table |= {info["name"]: info for infos in (remote or {}).values() for info in infos}
    rows = []
    for host, part in plan.get("hosts", {}).items():
        unknown = "unreachable" if remote is not None and host not in remote else "not deployed"
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
    return rows


def _kubeconfigs(plan: dict[str, Any]) -> dict[str, str]:
    return {
        part["cluster"]: f"{part['access']['to']}/kubeconfigs/admin.kubeconfig"
        if part["access"]
        else part["controlplane"]["apply"]["kubeconfig"]
        for part in plan.get("hosts", {}).values()
        if part["controlplane"]
    }


def logs(settings: Settings, slice_name: str | None, process: str | None, *, follow: bool, tail: int) -> None:
    """Print log files; several ones with the process's name before each line.

    Raises:
        NotFound: There is no such process.
    """
    state = chosen_slice(settings, slice_name)
    directory = slice_directory(state.name) / "logs"
    files = {path.stem: path for path in sorted(directory.glob("*.log"))}
    if process:
        exact = {n: p for n, p in files.items() if n == process}
        files = exact or {n: p for n, p in files.items() if process in n}
        if not files:
            _refuse_remote(state)
            known = ", ".join(path.stem for path in sorted(directory.glob("*.log")))
            raise NotFound(f"no process {process!r} in slice {state.name}", hint=f"processes: {known or 'none'}")
    if not files:
        _refuse_remote(state)
        raise NotFound(f"slice {state.name} has no logs yet", hint="run `mls framework deploy-all`")
    prefix = len(files) > 1
    offsets = {}
    for name, path in files.items():
        offsets[name] = path.stat().st_size
        _print(name if prefix else "", _tail(path, tail, offsets[name]))
    while follow:
        time.sleep(_POLL)
        for name, path in files.items():
            offsets[name] = _more(name if prefix else "", path, offsets[name])


def _refuse_remote(state: SliceState) -> None:
    """Say where the logs of hosts over SSH are.

    Raises:
        NotFound: The slice has such hosts.
    """
    if any(not part["local"] for part in plan_of(state).get("hosts", {}).values()):
        raise NotFound(
            f"the logs of slice {state.name} are in its hosts' journals",
            hint=f"on the host: journalctl --unit 'mls-{state.name}-*' --follow",
        )


def _tail(path: Path, count: int, size: int) -> list[str]:
    if count == 0:
        return []
    with path.open("rb") as stream:
        lines = deque(stream.read(size).decode("utf-8", "replace").splitlines(), maxlen=count if count > 0 else None)
    return list(lines)


def _more(name: str, path: Path, offset: int) -> int:
    """Print what was added since; a log that shrank was rotated and is read from its start."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return 0
    if size == offset:
        return offset
    with path.open("rb") as stream:
        stream.seek(offset if size > offset else 0)
        data = stream.read()
        position = stream.tell()
    complete = data.rpartition(b"\n")[0]
    if not complete:
        return offset
    _print(name, complete.decode("utf-8", "replace").splitlines())
    return position - (len(data) - len(complete) - 1)


def _print(name: str, lines: list[str]) -> None:
    write("".join(f"[{name}] {line}\n" if name else f"{line}\n" for line in lines))
    sys.stdout.flush()
