"""What `mls framework logs` does: log files of this machine, and the journals of hosts over SSH."""

from __future__ import annotations

import json
import re
import time
from collections import deque
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import NotFound

from mlsysops_cli.actions.framework.change import HostAccess, run_deployed
from mlsysops_cli.actions.framework.chosen import chosen_slice, plan_of
from mlsysops_cli.actions.framework.pods import log_commands
from mlsysops_cli.output import emit_document, write
from mlsysops_cli.slice import slice_directory
from mlsysops_cli.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlsysops_cli.settings import Settings
    from mlsysops_cli.slice import SliceState

__all__ = ["logs"]

_POLL = 0.25
#: How every line that a process of ours logs begins (UTC).
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[,.]\d+")


def logs(
    settings: Settings, slice_name: str | None, process: str | None, access: HostAccess, *, follow: bool, tail: int
) -> None:
    """Print what processes logged; several ones with the process's name before each line.

    Args:
        settings: Global options.
        slice_name: The slice; the one in use where None.
        process: A process, or a part of its name; all where None.
        access: How hosts are reached.
        follow: Go on as lines are added.
        tail: Last lines of each; -1 is all.

    Raises:
        NotFound: There is no such process.
    """
    state = chosen_slice(settings, slice_name)
    if any(not part["local"] for part in plan_of(state).get("hosts", {}).values()):
        _journals(settings, state, process, access, follow=follow, tail=tail)
        return
    directory = slice_directory(state.name) / "logs"
    files = {path.stem: path for path in sorted(directory.glob("*.log"))}
    pods = {n: command for n, command in log_commands(plan_of(state)).items() if process is None or process in n}
    if pods and not any(process is None or process in n for n in files):
        raise NotFound(f"{', '.join(pods)} log in their pods", hint=f"`{next(iter(pods.values()))}`")
    if process:
        exact = {n: p for n, p in files.items() if n == process}
        files = exact or {n: p for n, p in files.items() if process in n}
        if not files:
            known = ", ".join(path.stem for path in sorted(directory.glob("*.log")))
            raise NotFound(f"no process {process!r} in slice {state.name}", hint=f"processes: {known or 'none'}")
    if not files:
        raise NotFound(f"slice {state.name} has no logs yet", hint="run `mls framework deploy-all`")
    out = _Lines(settings, prefix=len(files) > 1)
    offsets = {name: path.stat().st_size for name, path in files.items()}
    entries = [entry for name, path in files.items() for entry in _entries(name, _tail(path, tail, offsets[name]))]
    for _, name, lines in sorted(entries, key=itemgetter(0)):  # of one moment: a process after the other, as they were
        out.print(name, lines)
    while follow:
        time.sleep(_POLL)
        for name, path in files.items():
            offsets[name] = _more(out, name, path, offsets[name])


def _tail(path: Path, count: int, size: int) -> list[str]:
    if count == 0:
        return []
    with path.open("rb") as stream:
        lines = deque(stream.read(size).decode("utf-8", "replace").splitlines(), maxlen=count if count > 0 else None)
    return list(lines)


def _entries(name: str, lines: list[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield what a process logged with its moment; lines without one, such as those of a traceback, go with the one before."""
    moment = ""
    entry: list[str] = []
    for line in lines:
        if found := _MOMENT.match(line):
            if entry:
                yield moment, name, entry
            moment, entry = found[0], []
        entry.append(line)
    if entry:
        yield moment, name, entry


def _more(out: _Lines, name: str, path: Path, offset: int) -> int:
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
    out.print(name, complete.decode("utf-8", "replace").splitlines())
    return position - (len(data) - len(complete) - 1)


@dataclass(frozen=True, slots=True)
class _Lines:
    """Prints lines of processes: to a program each as a document of its own, since nobody knows when there will be no more.

    Attributes:
        settings: Which format.
        prefix: A person is told whose each line is.
    """

    settings: Settings
    prefix: bool

    def print(self, name: str, lines: list[str]) -> None:
        if self.settings.output == "json":
            write("".join(json.dumps({"process": name, "line": line}, ensure_ascii=False) + "\n" for line in lines))
        elif self.settings.structured:
            for line in lines:
                write("---\n" if self.settings.output == "yaml" else "")
                emit_document(self.settings, {"process": name, "line": line}, kind="log")
        else:
            write(printable("".join(f"[{name}] {line}\n" if self.prefix else f"{line}\n" for line in lines)))


def _journals(
    settings: Settings, state: SliceState, process: str | None, access: HostAccess, *, follow: bool, tail: int
) -> None:
    """Print what hosts' journals have, in the order of time; following asks them again and again.

    Raises:
        NotFound: There is no such process.
        Unreachable: No host answers.
    """
    wanted = _programs(state, process)
    out = _Lines(settings, prefix=sum(map(len, wanted.values())) > 1)
    cursors: dict[str, str] = {}
    while True:
        result = run_deployed(
            settings,
            state,
            access,
            playbook="logs.yml",
            title="look at the logs",
            variables={"mls_journal_of": wanted, "mls_journal_lines": tail, "mls_journal_cursors": cursors},
            quiet=True,
        )
        lines = sorted(tuple(line) for found in result.journals.values() for line in found["lines"])
        for _, name, text in lines:
            out.print(name, [text])
        for failure in result.failures:
            settings.note(f"warning: {failure}")
        if not result.journals and (error := result.error()):
            raise error
        if not follow:
            return
        cursors |= {host: found["cursor"] for host, found in result.journals.items()}


def _programs(state: SliceState, process: str | None) -> dict[str, list[str]]:
    """Return the names of the programs that are meant, by host.

    Raises:
        NotFound: There is none.
    """
    known: dict[str, list[str]] = {}
    for host, part in plan_of(state)["hosts"].items():
        parts: list[dict[str, Any]] = [part[key] for key in ("controlplane", "kubelet", "agents", "northbound")]
        known[host] = [program["name"] for one in parts for program in one.get("programs", [])]
    names = [name for programs in known.values() for name in programs]
    chosen = {name for name in names if name == process} or {
        name for name in names if process is None or process in name
    }
    if not chosen:
        raise NotFound(f"no process {process!r} in slice {state.name}", hint=f"processes: {', '.join(sorted(names))}")
    return {host: found for host, programs in known.items() if (found := [n for n in programs if n in chosen])}
