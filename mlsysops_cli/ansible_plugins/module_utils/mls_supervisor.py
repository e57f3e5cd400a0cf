"""One supervisord a slice: its configuration, its life, and its XML-RPC interface over a unix socket.

Standard library only. The interface is that of supervisor 4 (http://supervisord.org/api.html).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import pwd
import shlex
import signal
import socket
import subprocess
import time
import xmlrpc.client
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# By their place: the command line imports this module, too, and there is no ansible.module_utils of ours there.
from .mls_files import write_file
from .mls_processes import Identity, identity

__all__ = ["Program", "Supervisor", "SupervisorError"]

#: Longest path of a unix socket on Linux (sun_path, unix(7)), less the terminator and supervisord's ``.<pid>`` suffix.
_LONGEST_SOCKET = 107 - 12
_FOREVER = 1_000_000
#: Seconds that what a dead supervisord left behind has to end by itself.
_GRACE = 3.0
Program = dict[str, Any]


class SupervisorError(Exception):
    """The supervisor cannot be reached or refuses."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stream.settimeout(30)
        try:
            stream.connect(self._path)
        except OSError:
            stream.close()
            raise
        self.sock = stream


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _Connection(self._path)
        self._connection = (host, connection)  # what `close` closes
        return connection


class Supervisor:
    """The supervisor of one slice on this machine.

    Args:
        directory: Its own directory, mode 0700.
        slice_name: Name of the slice.
        python: Interpreter that has the packages ``supervisor`` and ``mlsysops_cli``.
    """

    def __init__(self, directory: str, slice_name: str, python: str = "") -> None:
        self.directory = Path(directory)
        self.slice = slice_name
        self.python = python
        self.config = self.directory / "supervisord.conf"
        self.programs = self.directory / "conf.d"
        self.pidfile = self.directory / "supervisord.pid"
        self.stopping = self.directory / "stopping"
        self.socket = self._socket_path()

    def _socket_path(self) -> str:
        path = str(self.directory / "supervisor.sock")
        if len(path) <= _LONGEST_SOCKET:
            return path
        # Deep home directories: the socket moves to a private directory with a short name.
        digest = hashlib.sha256(path.encode()).hexdigest()[:16]
        base = Path("/tmp") / f"mls-{os.getuid()}"  # noqa: S108 - its owner and mode are checked before it is used
        return str(base / (digest + ".sock"))

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the interface, e.g. ``call("getAllProcessInfo")``.

        Raises:
            OSError: It cannot be reached.
            xmlrpc.client.Error: It refuses.
        """
        transport = _Transport(self.socket)
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        finally:
            transport.close()

    def running(self) -> bool:
        """Whether it answers."""
        try:
            return bool(self.call("getState")["statecode"] == 1)
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False

    def pid(self) -> int | None:
        """Process id of supervisord, from its pid file."""
        try:
            return int(self.pidfile.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def processes(self) -> list[dict[str, Any]]:
        """Return supervisor's table of processes; empty where it does not run.

        Raises:
            SupervisorError: It runs and does not answer properly.
        """
        try:
            return [info for info in self.call("getAllProcessInfo") if info["name"] != "keeper"]
        except OSError:
            return []
        except (http.client.HTTPException, xmlrpc.client.Error) as exc:
            raise SupervisorError(f"supervisor at {self.socket}: {exc}") from exc

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep others from changing this supervisor's programs meanwhile."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.directory / ".lock").open("a", encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    # -- configuration -------------------------------------------------------------------------------------------

    def base_config(self) -> str:
        """Return the text of ``supervisord.conf``."""
        user = pwd.getpwuid(os.getuid()).pw_name
        keeper = [self.python, "-m", "mlsysops_cli.ansible_plugins.keeper", str(self.directory), self.slice]
        return _sections(
            {
                "supervisord": {
                    "logfile": self.directory / "supervisord.log",
                    "logfile_maxbytes": "5MB",
                    "logfile_backups": 2,
                    "pidfile": self.pidfile,
                    "childlogdir": self.directory,
                    "directory": self.directory,
                    "identifier": "mls-" + self.slice,
                    "umask": "077",
                    **({"user": user} if os.getuid() == 0 else {}),
                },
                "unix_http_server": {"file": self.socket, "chmod": "0700"},
                "rpcinterface:supervisor": {
                    "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
                },
                "eventlistener:keeper": {
                    "command": shlex.join(keeper),
                    "events": "PROCESS_STATE",
                    "autorestart": "true",
                    "startretries": _FOREVER,
                    "buffer_size": 200,
                    "stdout_logfile": "NONE",
                    "stderr_logfile": "NONE",
                },
                "include": {"files": self.programs / "*.conf"},
            }
        )

    def program_config(self, program: Program) -> str:
        """Return the text of one program's section."""
        environment = {"MLS_SUPERVISED": "1", "PYTHONUNBUFFERED": "1", **program.get("environment", {})}
        return _sections(
            {
                "program:" + program["name"]: {
                    "command": shlex.join(program["command"]),
                    "directory": program["directory"],
                    "environment": _environment(environment),
                    "autostart": "true",
                    "autorestart": "true",
                    "startsecs": 1,
                    "startretries": _FOREVER,
                    "stopsignal": "TERM",
                    "stopwaitsecs": 10,
                    # Only the process itself is stopped: what it leaves running on purpose, pods, goes on.
                    "stopasgroup": "false",
                    "killasgroup": "false",
                    "redirect_stderr": "true",
                    "stdout_logfile": program["log"],
                    "stdout_logfile_maxbytes": "10MB",
                    "stdout_logfile_backups": 3,
                }
            }
        )

    # -- what a dead supervisord left behind -----------------------------------------------------------------------

    def record(self, processes: dict[str, Identity]) -> None:
        """Write down which processes run under this supervisor."""
        write_file(self.directory / "processes.json", json.dumps(processes, sort_keys=True) + "\n")

    def recorded(self) -> dict[str, Identity]:
        """Return the processes that were written down; they may be gone."""
        try:
            found = json.loads((self.directory / "processes.json").read_text(encoding="utf-8"))
            return {str(name): (int(one[0]), str(one[1])) for name, one in found.items()}
        except (OSError, ValueError, LookupError, AttributeError):  # none yet, or half a file of an older version
            return {}

    def end_survivors(self) -> None:
        """End recorded processes that outlived supervisord: their successors need their ports."""
        left = [one for one in self.recorded().values() if identity(one[0]) == one]
        for number, seconds in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, _GRACE)):
            for pid, _ in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            deadline = time.monotonic() + seconds
            while left and time.monotonic() < deadline:
                time.sleep(0.02)
                left = [one for one in left if identity(one[0]) == one]

    # -- changes -------------------------------------------------------------------------------------------------

    def known(self, names: Iterable[str]) -> list[str]:
        """Return those of some programs that the configuration has."""
        return [name for name in names if (self.programs / (name + ".conf")).exists()]

    def pending(self, programs: list[Program]) -> list[str]:
        """Return the names of programs whose files or sections differ from what is wanted, or that do not run."""
        states = {info["name"]: info["statename"] for info in self.processes()}
        names = []
        for program in programs:
            wanted = [(self.programs / (program["name"] + ".conf"), self.program_config(program))]
            wanted += [(Path(file["path"]), file["content"]) for file in program.get("files", [])]
            if states.get(program["name"]) not in ("RUNNING", "STARTING") or any(
                not path.is_file() or path.read_text(encoding="utf-8") != text for path, text in wanted
            ):
                names.append(program["name"])
        return names

    def ensure(self, programs: list[Program]) -> list[str]:
        """Make the programs be there and run, with their files; return the names of those that were touched.

        Raises:
            SupervisorError: supervisord does not start or refuses.
        """
        with self.lock():
            touched = [p["name"] for p in programs if self._write_program(p)]
            base_changed = write_file(self.config, self.base_config())
            self.stopping.unlink(missing_ok=True)
            try:
                if self.running() and base_changed:
                    self._shutdown()
                if not self.running():
                    self.start()
                    return [program["name"] for program in programs]
                self._reload()
                return touched + [name for name in self._start_stopped(programs) if name not in touched]
            except (OSError, http.client.HTTPException, xmlrpc.client.Error) as exc:
                raise SupervisorError(f"supervisor at {self.socket}: {exc}") from exc

    def remove(self, names: list[str]) -> list[str]:
        """Stop programs and forget them; return the names of those that were there.

        Raises:
            SupervisorError: supervisord refuses.
        """
        if not self.directory.is_dir():
            return []
        with self.lock():
            there = []
            for name in names:
                section = self.programs / (name + ".conf")
                if section.exists():
                    section.unlink()
                    there.append(name)
            if there and self.running():
                try:
                    self._reload()
                except (OSError, http.client.HTTPException, xmlrpc.client.Error) as exc:
                    raise SupervisorError(f"supervisor at {self.socket}: {exc}") from exc
            return there

    def shutdown(self) -> bool:
        """Stop supervisord and everything under it; return whether it was running."""
        if not self.directory.is_dir():
            return False
        with self.lock():
            self.stopping.touch()
            pid = self.pid()
            running = self.running() or (pid is not None and _is_supervisord(pid, self.config))
            if running:
                self._shutdown()
            Path(self.socket).unlink(missing_ok=True)
            if Path(self.socket).parent != self.directory:
                with contextlib.suppress(OSError):  # other slices have their sockets there
                    Path(self.socket).parent.rmdir()
            return running

    def _write_program(self, program: Program) -> bool:
        changed = False
        for file in program.get("files", []):
            changed |= write_file(Path(file["path"]), file["content"])
        for folder in (Path(program["directory"]), Path(program["log"]).parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return write_file(self.programs / (program["name"] + ".conf"), self.program_config(program)) or changed

    def start(self) -> None:
        """Start supervisord and wait until it answers; the caller holds the lock.

        Raises:
            SupervisorError: It does not start.
        """
        self.end_survivors()
        self.programs.mkdir(parents=True, exist_ok=True, mode=0o700)
        place = Path(self.socket).parent
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = place.lstat()
        if found.st_uid != os.getuid() or found.st_mode & 0o170077 != 0o040000:
            raise SupervisorError(f"{place} is not a private directory of this user: remove it")
        keep = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV", "XDG_RUNTIME_DIR")
        environment = {name: os.environ[name] for name in keep if name in os.environ}
        argv = [self.python, "-m", "supervisor.supervisord", "-c", str(self.config)]
        done = subprocess.run(
            argv, env=environment, capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=False
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
            raise SupervisorError("supervisord does not start: %s" % (said[-1] if said else "no message"))
        self._wait(self.running, 20, f"supervisord does not answer at {self.socket}")

    def _shutdown(self) -> None:
        pid = self.pid()
        try:
            self.call("shutdown")
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            if pid is not None and _is_supervisord(pid, self.config):
                os.kill(pid, 15)
        if pid is not None:
            self._wait(lambda: not _is_supervisord(pid, self.config), 60, f"supervisord (process {pid}) does not stop")

    def _wait(self, condition: Any, seconds: float, message: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise SupervisorError(message)
            time.sleep(0.05)

    def _reload(self) -> None:
        """Apply what changed in the configuration files, also by an earlier run that did not come to its end."""
        added, changed, removed = self.call("reloadConfig")[0]
        for name in [*changed, *removed]:
            self.call("stopProcessGroup", name)
            self.call("removeProcessGroup", name)
        for name in [*changed, *added]:
            with contextlib.suppress(xmlrpc.client.Fault):  # ALREADY_ADDED
                self.call("addProcessGroup", name)

    def _start_stopped(self, programs: list[Program]) -> list[str]:
        states = {info["name"]: info["statename"] for info in self.processes()}
        started = []
        for program in programs:
            if states.get(program["name"]) in ("STOPPED", "EXITED", "FATAL", "UNKNOWN"):
                self.call("startProcess", program["name"], False)
                started.append(program["name"])
        return started


def _is_supervisord(pid: int, config: Path) -> bool:
    """Whether a process is the supervisord with this configuration: process ids are used again."""
    try:
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"supervisor.supervisord" in argv and str(config).encode() in argv


def _sections(sections: dict[str, dict[str, Any]]) -> str:
    lines = []
    for name, values in sections.items():
        lines.append(f"[{name}]")
        lines += ["{}={}".format(key, str(value).replace("%", "%%")) for key, value in values.items()]
        lines.append("")
    return "\n".join(lines)


def _environment(values: dict[str, str]) -> str:
    return ",".join('{}="{}"'.format(key, value.replace('"', '\\"')) for key, value in sorted(values.items()))
