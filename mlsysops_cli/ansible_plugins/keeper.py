"""Keeps the supervisor: when supervisord dies, ends what it left behind and starts it again.

Run by supervisord itself as an event listener (http://supervisord.org/events.html), so that each of the two
brings the other back. Its standard input ends when supervisord dies; the events tell it the process ids of the
others. Processes that supervisord stopped on purpose, and pods, are none of its business.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import IO

from mlsysops_cli.ansible_plugins.module_utils.mls_supervisor import Supervisor, SupervisorError

__all__ = ["Keeper", "main"]

log = logging.getLogger("mls.keeper")

GRACE = 5.0
Identity = tuple[int, str]


def identity(pid: int) -> Identity | None:
    """Return a process's id and start time, which together are never used again; None where it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else (pid, fields[19])


class Keeper:
    """Follows the supervisor's processes.

    Args:
        supervisor: The supervisor that started this process.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.known: dict[str, Identity] = {}

    def run(self, events: IO[str], answers: IO[str]) -> bool:
        """Follow events until they end; return whether the supervisor has to be started again."""
        answers.write("READY\n")
        answers.flush()
        for info in self.supervisor.processes():
            self._remember(info["name"], int(info["pid"]))
        while header := events.readline():
            tokens = dict(token.split(":", 1) for token in header.split())
            payload = events.read(int(tokens.get("len", 0)))
            values = dict(token.split(":", 1) for token in payload.split() if ":" in token)
            if "pid" in values:
                self._remember(values.get("processname", ""), int(values["pid"]))
            answers.write("RESULT 2\nOKREADY\n")
            answers.flush()
        return not self.supervisor.stopping.exists()

    def _remember(self, name: str, pid: int) -> None:
        found = identity(pid) if pid > 0 else None
        if found:
            self.known[name] = found

    def end_survivors(self) -> None:
        """End what the dead supervisor's processes did not end by themselves."""
        deadline = time.monotonic() + GRACE
        left = self._send(signal.SIGTERM)
        while left and time.monotonic() < deadline:
            time.sleep(0.05)
            left = [one for one in left if identity(one[0]) == one]
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> list[Identity]:
        alive = [one for one in self.known.values() if identity(one[0]) == one]
        for pid, _ in alive:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        return alive


def main() -> int:
    """Run the keeper; the arguments are the supervisor's directory and the slice's name."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.Formatter.converter = time.gmtime
    supervisor = Supervisor(sys.argv[1], sys.argv[2], sys.executable)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    keeper = Keeper(supervisor)
    if not keeper.run(sys.stdin, sys.stdout):
        return 0
    log.warning("supervisord is gone; starting it again")
    keeper.end_survivors()
    with supervisor.lock():
        if supervisor.stopping.exists() or supervisor.running():
            return 0
        try:
            supervisor.start()
        except SupervisorError:
            log.exception("supervisord did not come back")
            return 1
    log.warning("supervisord is back")
    return 0


if __name__ == "__main__":
    sys.exit(main())
