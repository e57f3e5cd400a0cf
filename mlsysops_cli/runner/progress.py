"""Shows a run while it goes on (stderr): what each host does, and for how long."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from mlsysops_cli.runner.events import CHECK_OF_ARGUMENTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from mlsysops_cli.runner.events import RunResult

__all__ = ["PlainProgress", "Progress", "RichProgress", "SilentProgress", "choose_progress"]

_ENDS = {
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
    "runner_on_skipped": "skipped",
}
#: Lines of a terminal beside the rows of hosts: title, head, the number of hosts that do not fit, and the cursor's.
_AROUND = 4
_URGENCY = {"failed": 0, "unreachable": 0, "running": 1}
#: Terminals on which nothing can be written over (terminfo(5)).
_DUMB = ("dumb", "unknown")


def _is_step(kind: str, data: Mapping[str, Any]) -> bool:
    """Whether an event is about a step that a person wants to hear of."""
    if kind == "runner_on_skipped" or not data.get("host") or str(data.get("task_action")).endswith("include_role"):
        return False  # of an included role the own tasks follow
    failed = kind in ("runner_on_failed", "runner_on_unreachable")
    return failed or not str(data.get("task")).startswith(CHECK_OF_ARGUMENTS)


class Progress(Protocol):
    """Follows a run."""

    def __enter__(self) -> Progress: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def event(self, event: Mapping[str, Any]) -> None:
        """Take one of ansible-runner's events."""

    def summary(self, result: RunResult) -> None:
        """Show what the run did."""


class SilentProgress:
    """Shows nothing (``--quiet``)."""

    def __enter__(self) -> SilentProgress:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def event(self, event: Mapping[str, Any]) -> None:
        """Ignore it."""

    def summary(self, result: RunResult) -> None:
        """Ignore it."""


class PlainProgress:
    """One line a finished task and host, for logs and pipes.

    Args:
        title: What runs.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._started = time.monotonic()

    def __enter__(self) -> PlainProgress:
        self._started = time.monotonic()
        self._line(self._title)
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def event(self, event: Mapping[str, Any]) -> None:
        """Print how a task ended on a host."""
        kind, data = str(event.get("event")), event.get("event_data") or {}
        if kind not in _ENDS or not _is_step(kind, data):
            return
        result = data.get("res") or {}
        state = "changed" if kind == "runner_on_ok" and result.get("changed") else _ENDS[kind]
        seconds = float(data.get("duration") or 0.0)
        self._line(f"{state:<11} {data['host']}: {data.get('play', '')}: {data.get('task', '')} ({seconds:.1f} s)")

    def summary(self, result: RunResult) -> None:
        """Print the table of hosts."""
        width = max(4, *(len(name) for name in result.hosts), 0)
        self._line(f"{'host':<{width}}  changed  failed  seconds")
        for name, host in result.hosts.items():
            self._line(f"{name:<{width}}  {host.changed:>7}  {host.failed + host.unreachable:>6}  {host.seconds:>7.1f}")
        for line in _closing(result).splitlines():
            self._line(line)

    def _line(self, text: str) -> None:
        print(f"[{time.monotonic() - self._started:6.1f} s] {text}", file=sys.stderr, flush=True)  # noqa: T201 - its purpose


class RichProgress:
    """A table that changes in place, for terminals.

    Args:
        title: What runs.
    """

    def __init__(self, title: str) -> None:
        from rich.console import Console

        self._title = title
        self._console = Console(stderr=True)
        self._play = ""
        self._hosts: dict[str, tuple[str, str, float]] = {}
        self._before: dict[str, tuple[str, str, float]] = {}
        self._done: dict[str, int] = {}
        self._started = time.monotonic()
        self._live: Any = None

    def __enter__(self) -> RichProgress:
        from rich.live import Live

        self._started = time.monotonic()
        self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=4, transient=True)
        self._live.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._live.__exit__(*details)

    def _table(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        now = time.monotonic()
        # Not the table's title, which would be as narrow as its columns are.
        title = Text(f"{self._title} · {self._play} · {now - self._started:.0f} s", overflow="ellipsis", no_wrap=True)
        table = Table(box=None)
        for column in ("host", "done", "task", "state", "seconds"):
            table.add_column(column, justify="right" if column in ("done", "seconds") else "left", no_wrap=True)
        shown, hidden = self._rows()
        for host, (task, state, since) in shown:
            colour = {"failed": "red", "unreachable": "red", "changed": "yellow", "running": "cyan"}.get(state, "green")
            seconds = f"{now - since:.1f}" if state == "running" else ""
            table.add_row(host, str(self._done.get(host, 0)), task, f"[{colour}]{state}[/]", seconds)
        return Group(title, table, *([Text(f" and {hidden} more hosts")] if hidden else []))

    def _rows(self) -> tuple[list[tuple[str, tuple[str, str, float]]], int]:
        """Return the hosts that fit on the screen, and the number of those that do not: what works or failed comes first."""
        rows = list(self._hosts.items())
        room = max(1, self._console.size.height - _AROUND)
        if len(rows) > room:
            rows.sort(key=lambda row: _URGENCY.get(row[1][1], len(_URGENCY)))
        return rows[:room], max(0, len(rows) - room)

    def event(self, event: Mapping[str, Any]) -> None:
        """Change a row."""
        kind, data = str(event.get("event")), event.get("event_data") or {}
        host, task = str(data.get("host") or ""), str(data.get("task") or "")
        if kind == "playbook_on_play_start":
            self._play = str(data.get("name") or data.get("play") or "")
        elif kind == "runner_on_skipped" and host in self._before:
            self._hosts[host] = self._before[host]  # it was no task for this host
        elif not _is_step(kind, data):
            return
        elif kind == "runner_on_start":
            self._before[host] = self._hosts.get(host, ("", "", 0.0))
            self._hosts[host] = (task, "running", time.monotonic())
        elif kind in _ENDS:
            self._done[host] = self._done.get(host, 0) + 1
            result = data.get("res") or {}
            state = "changed" if kind == "runner_on_ok" and result.get("changed") else _ENDS[kind]
            self._hosts[host] = (task, state, time.monotonic())

    def summary(self, result: RunResult) -> None:
        """Print the table of hosts."""
        from rich.table import Table

        table = Table(box=None)
        for column in ("host", "changed", "failed", "seconds"):
            table.add_column(column, justify="left" if column == "host" else "right")
        for name, host in result.hosts.items():
            bad = host.failed + host.unreachable
            table.add_row(name, str(host.changed), f"[red]{bad}[/]" if bad else "0", f"{host.seconds:.1f}")
        self._console.print(table)
        self._console.print(_closing(result), highlight=False, soft_wrap=True)


def choose_progress(title: str, *, quiet: bool = False) -> Progress:
    """Return the progress display that fits where stderr goes."""
    if quiet:
        return SilentProgress()
    changeable = sys.stderr.isatty() and os.environ.get("TERM") not in _DUMB
    return RichProgress(title) if changeable else PlainProgress(title)


def _closing(result: RunResult) -> str:
    slowest = f"; slowest: {result.slowest[0]}, {result.slowest[1]:.1f} s" if result.slowest[0] else ""
    log = f"\nfull log: {result.log}" if result.log and result.log_stays else ""
    return f"{result.tasks} tasks, {result.changed} changed, {result.seconds:.1f} s{slowest}{log}"
