"""Keeps the supervisor: when supervisord dies, starts it again.

Run by supervisord itself as an event listener (http://supervisord.org/events.html), so that each of the two
brings the other back. Its standard input ends when supervisord dies; the events tell it the process ids of the
others, which it writes down, so that whoever starts supervisord next ends what the dead one left behind.
Processes that supervisord stopped on purpose, and pods, are none of its business.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from logging.handlers import RotatingFileHandler
from typing import IO

from mlsysops_cli.ansible_plugins.module_utils.mls_processes import Identity, identity
from mlsysops_cli.ansible_plugins.module_utils.mls_supervisor import Supervisor, SupervisorError

__all__ = ["Keeper", "main"]

log = logging.getLogger("mls.keeper")


class Keeper:
    """Follows the supervisor's processes.

    Args:
        supervisor: The supervisor that started this process.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.known: dict[str, Identity] = supervisor.recorded()

    def run(self, events: IO[str], answers: IO[str]) -> bool:
        """Follow events until they end; return whether the supervisor has to be started again."""
        try:
            self._follow(events, answers)
        except BrokenPipeError:
            log.info("the supervisor was gone before it could be answered")
        return not self.supervisor.stopping.exists()

    def _follow(self, events: IO[str], answers: IO[str]) -> None:
        answers.write("READY\n")
        answers.flush()
        for info in self.supervisor.processes():
            self._remember(info["name"], int(info["pid"]))
        self.supervisor.record(self.known)
        while header := events.readline():
            tokens = dict(token.split(":", 1) for token in header.split())
            payload = events.read(int(tokens.get("len", 0)))
            values = dict(token.split(":", 1) for token in payload.split() if ":" in token)
            if "pid" in values and self._remember(values.get("processname", ""), int(values["pid"])):
                self.supervisor.record(self.known)
            answers.write("RESULT 2\nOKREADY\n")
            answers.flush()

    def _remember(self, name: str, pid: int) -> bool:
        found = identity(pid) if pid not in (0, os.getpid()) else None
        if not found or self.known.get(name) == found:
            return False
        self.known[name] = found
        return True


def main() -> int:
    """Run the keeper; the arguments are the supervisor's directory and the slice's name."""
    logging.Formatter.converter = time.gmtime
    supervisor = Supervisor(sys.argv[1], sys.argv[2], sys.executable)
    # A file of its own: standard error is a pipe to the supervisor, and breaks when there is something to tell.
    handler = RotatingFileHandler(supervisor.directory / "keeper.log", maxBytes=1_000_000, backupCount=1)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", handlers=[handler])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if not Keeper(supervisor).run(sys.stdin, sys.stdout):
        return 0
    log.warning("supervisord is gone; starting it again")
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
