"""Supervises one container: starts it, writes its logs, records how it ended. Run as a script, standard library only.

A shim belongs to nobody: it leaves the kubelet's session, so the kubelet may die and come back without the container
noticing. Everything it knows is in its directory:

``spec.json``   given: argv, env, cwd, log, limits, user (written by the kubelet, mode 0600)
``state.json``  made when the program runs: pids with their start times, boot id
``exit.json``   made when it ended: exit code, signal, time

Signals: SIGTERM is passed on to the program's process group; SIGUSR1 kills all that the container ever started.
"""

from __future__ import annotations

import ctypes
import datetime as dt
import json
import os
import resource
import selectors
import signal
import sys
import time
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
#: Longest log line kept in one record; longer ones are split with the CRI tag P (CRI logging, ``<time> <stream> P|F <text>``).
_LINE = 16 * 1024
_FAILED_TO_START = 128


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def start_time(pid: int) -> int:
    """Start time of a process in clock ticks since boot; with its pid it names a process for ever (proc(5), field 22)."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def _write_json(path: Path, data: dict[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("w") as file:
        json.dump(data, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _stamp() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class _Log:
    """One CRI log file, rotated by size."""

    def __init__(self, path: Path, max_bytes: int, max_files: int) -> None:
        self.path, self.max_bytes, self.max_files = path, max_bytes, max_files
        self._file = path.open("ab", buffering=0)
        self._size = path.stat().st_size
        self._rest = {"stdout": b"", "stderr": b""}

    def feed(self, stream: str, data: bytes) -> None:
        *lines, rest = (self._rest[stream] + data).split(b"\n")
        for line in lines:
            self._record(stream, line, last=True)
        while len(rest) > _LINE:
            self._write(stream, b"P", rest[:_LINE])
            rest = rest[_LINE:]
        self._rest[stream] = rest

    def close_stream(self, stream: str) -> None:
        if self._rest[stream]:
            self._record(stream, self._rest[stream], last=True)
            self._rest[stream] = b""

    def _record(self, stream: str, line: bytes, *, last: bool) -> None:
        while len(line) > _LINE:
            self._write(stream, b"P", line[:_LINE])
            line = line[_LINE:]
        self._write(stream, b"F" if last else b"P", line)

    def _write(self, stream: str, tag: bytes, line: bytes) -> None:
        record = b"%s %s %s %s\n" % (_stamp().encode(), stream.encode(), tag, line)
        try:
            if self._size + len(record) > self.max_bytes and self._size:
                self._rotate()
            self._file.write(record)
            self._size += len(record)
        except OSError:
            # A full disk must not stop the program; its output is lost until there is room again.
            return

    def _rotate(self) -> None:
        for number in range(self.max_files - 1, 1, -1):
            older = Path(f"{self.path}.{number - 1}")
            if older.exists():
                older.replace(f"{self.path}.{number}")
        if self.max_files > 1:
            self.path.replace(f"{self.path}.1")
        else:
            self.path.unlink()
        self._file.close()
        self._file = self.path.open("ab", buffering=0)
        self._size = 0


def _descendants(root: int) -> list[int]:
    """Every process below one; as subreaper the shim inherits all that its program leaves behind."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - scandir's objects cost more than names here
        if entry.isdigit():
            try:
                parent = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            children.setdefault(parent, []).append(int(entry))
    found, frontier = [], [root]
    while frontier:
        below = children.get(frontier.pop(), [])
        found += below
        frontier += below
    return found


def _kill_all() -> None:
    """SIGKILL everything below, again until nothing is left: killed parents may have forked meanwhile."""
    for _ in range(100):
        victims = _descendants(os.getpid())
        if not victims:
            return
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def _exec(spec: dict[str, Any], stdout: int, stderr: int, parent: int) -> None:
    """In the child: become the program."""
    os.setsid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(_FAILED_TO_START)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    try:
        for path in spec.get("cgroups") or ():
            Path(path, "cgroup.procs").write_text("0")
        for name, value in (spec.get("rlimits") or {}).items():
            resource.setrlimit(getattr(resource, name), (value, value))
        if spec.get("nice"):
            os.nice(spec["nice"])
        os.chdir(spec["cwd"])
        # Python ignores these; programs expect the default.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        if user := spec.get("user"):
            for descriptor in (1, 2):  # so that it may open /dev/stdout
                os.fchown(descriptor, user["user"], user["group"])
            os.setgroups(user["groups"])
            os.setgid(user["group"])
            os.setuid(user["user"])
            # The kernel forgets it with a change of credentials.
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.execvpe(spec["argv"][0], spec["argv"], spec["env"])  # noqa: S606 - running it is the point
    except OSError as exc:
        os.write(2, f"cannot start {spec['argv'][0]}: {exc}\n".encode())
    finally:
        os._exit(127)


def _supervise(directory: Path, spec: dict[str, Any], started: int) -> None:
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    log = _Log(Path(spec["log"]), spec.get("log_max_bytes", 10 * 2**20), spec.get("log_max_files", 5))
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    flags = {"kill": False}
    me = os.getpid()
    pid = os.fork()
    if pid == 0:
        _exec(spec, out_write, err_write, me)

    def forward(*_: object) -> None:
        try:
            os.killpg(pid, signal.SIGTERM)
        except ProcessLookupError:
            return

    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGUSR1, lambda *_: flags.update(kill=True))
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
    os.close(out_write)
    os.close(err_write)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    _write_json(
        directory / "state.json",
        {
            "shim": os.getpid(),
            "shim_start": start_time(os.getpid()),
            "pid": pid,
            "pid_start": start_time(pid),
            "boot_id": boot,
            "started_at": _stamp(),
        },
    )
    os.write(started, b"1")
    os.close(started)
    streams = {out_read: "stdout", err_read: "stderr"}
    poller = selectors.DefaultSelector()
    poller.register(wake_read, selectors.EVENT_READ)
    for descriptor in streams:
        os.set_blocking(descriptor, False)
        poller.register(descriptor, selectors.EVENT_READ)
    status: int | None = None
    while status is None:
        for key, _ in poller.select():
            descriptor = int(key.fd)
            if descriptor == wake_read:
                os.read(wake_read, 4096)
            else:
                _drain(poller, log, descriptor, streams[descriptor])
        if flags["kill"]:
            flags["kill"] = False
            for victim in _descendants(me):
                try:
                    os.kill(victim, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        status = _reap(pid)
    _kill_all()
    for descriptor, stream in streams.items():
        _drain(poller, log, descriptor, stream)
        log.close_stream(stream)
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    code = 128 + number if number else os.WEXITSTATUS(status)
    oom_killed = _leave_groups(spec.get("cgroups") or [])
    result = {"exit_code": code, "signal": number, "finished_at": _stamp(), "oom_killed": oom_killed}
    _write_json(directory / "exit.json", result)


def _leave_groups(groups: list[str]) -> bool:
    """Remove the container's (empty) control groups and what they leave empty; whether memory ran out in them."""
    oom_killed = False
    for group in groups:
        for name in ("memory.events", "memory.oom_control"):
            try:
                text = Path(group, name).read_text()
            except OSError:
                continue
            oom_killed |= any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in text.splitlines())
        # The pod's group and the engine's above it go with their last member.
        for directory in (Path(group), Path(group).parent, Path(group).parent.parent):
            try:
                directory.rmdir()
            except OSError:
                break
    return oom_killed


def _reap(pid: int) -> int | None:
    """Collect every child that ended; the program's wait status where it is among them."""
    found: int | None = None
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if not ended:
            return found
        if ended == pid:
            found = status


def _drain(poller: selectors.BaseSelector, log: _Log, descriptor: int, stream: str) -> None:
    # A bounded number of reads a turn, so that a program that floods one stream cannot starve signals.
    for _ in range(64):
        try:
            data = os.read(descriptor, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            if descriptor in poller.get_map():
                poller.unregister(descriptor)
            return
        log.feed(stream, data)


def main(directory: Path) -> int:
    """Detach and supervise; the first process exits 0 once the program runs and ``state.json`` says so."""
    spec = json.loads((directory / "spec.json").read_text())
    running, started = os.pipe()
    if os.fork():
        os.close(started)
        return 0 if os.read(running, 1) else 1
    os.close(running)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    _supervise(directory, spec, started)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
