"""Ends a playbook with the `mls` that follows it: ``guard.py PARENT COMMAND…``, run as a program between the two.

Killed, `mls` can do nothing any more, and Ansible, in a session of its own with SIGHUP ignored, would go on unseen or sleep for ever.
Its workers, their modules and ``ssh`` are ended, too: each would outlive the process that started it. What a task made to stay, such
as a supervisor, is nobody's child any more and stays.

It imports nothing of ours, since it is started in front of everything.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

__all__ = ["below", "close_connections", "end", "guarded"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
#: What the kernel tells us by when our parent is no more (prctl(2)); it is the end of the thread that started us, which waits for us.
_ORPHANED = signal.SIGUSR1
_SECONDS = 10


class _OrphanedError(Exception):
    """Who started us is no more."""


def guarded(command: list[str]) -> list[str]:
    """Return the command that runs another one for as long as this process lives.

    Args:
        command: The other one.
    """
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(os.getpid()), *command]


def below(pid: int, *, deep: bool = True) -> list[int]:
    """Return the children of a process, and theirs.

    Args:
        pid: The process.
        deep: Theirs, too.
    """
    found: list[int] = []
    with contextlib.suppress(OSError):  # it ended meanwhile
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(word) for word in (task / "children").read_text(encoding="ascii").split()]
    return found + [one for child in found for one in below(child)] if deep else found


def end(pid: int) -> None:
    """End a process and all that is below it.

    Args:
        pid: A child of ours.
    """
    stopped: list[int] = []
    # Stopped, nobody starts another one while we look.
    while fresh := [one for one in [pid, *below(pid)] if one not in stopped]:
        for one in fresh:
            _send(one, signal.SIGSTOP)
        stopped += fresh
    for one in stopped:
        _send(one, signal.SIGKILL)


def close_connections(directory: Path) -> None:
    """Close SSH connections that are shared, and would stay for a while.

    Args:
        directory: Where their sockets are.
    """
    for socket in directory.iterdir() if directory.is_dir() else ():
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "none"],
                capture_output=True, stdin=subprocess.DEVNULL, timeout=_SECONDS, check=False,
            )  # fmt: skip


def main(arguments: list[str]) -> int:
    """Run a command; return its exit status, or that of a shell where a signal ended it."""
    parent, command = int(arguments[0]), arguments[1:]
    signal.pthread_sigmask(signal.SIG_BLOCK, [_ORPHANED])  # until it is known whom to end
    signal.signal(_ORPHANED, _orphaned)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal of our session ends with our parent
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(_ORPHANED)) != 0:
        sys.stderr.write(f"prctl: {os.strerror(ctypes.get_errno())}\n")
        return 1
    if os.getppid() != parent:
        return 1
    child = 0

    def pass_on(number: int, _frame: FrameType | None) -> None:
        if child:
            _send(child, number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    child = os.posix_spawnp(command[0], command, os.environ, setsigmask=[])
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [_ORPHANED])
        _, status = os.waitpid(child, 0)
    except _OrphanedError:
        end(child)
        os.waitpid(child, 0)
        if sockets := os.environ.get("ANSIBLE_SSH_CONTROL_PATH_DIR"):
            close_connections(Path(sockets))
        return 1
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _orphaned(_number: int, _frame: FrameType | None) -> None:
    raise _OrphanedError


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # another user's, behind sudo
        os.kill(pid, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
