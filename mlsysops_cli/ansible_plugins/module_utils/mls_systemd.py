"""A slice's programs as systemd units of a host: the same face as the supervisor that a local slice has.

Standard library only. Units are called ``mls-<slice>-<program>.service``; the options are those of systemd.service(5)
and systemd.exec(5), version 252 and newer.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible.module_utils.mls_files import write_file
from ansible.module_utils.mls_supervisor import Program, SupervisorError

__all__ = ["Systemd"]

UNITS = Path("/etc/systemd/system")
_PROPERTIES = "Id,ActiveState,SubState,MainPID,ExecMainStatus,ActiveEnterTimestampMonotonic"
_STATES = {"active": "RUNNING", "activating": "STARTING", "reloading": "RUNNING", "failed": "FATAL"}
#: For every program. None of ours needs to change more than its own files.
_HARDENING = (
    "NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "ProtectKernelModules=yes", "ProtectKernelLogs=yes",
    "ProtectClock=yes", "ProtectHostname=yes", "RestrictRealtime=yes", "RestrictSUIDSGID=yes", "LockPersonality=yes",
    "SystemCallArchitectures=native",
)  # fmt: skip
#: For programs that start none of somebody else's.
_CONFINED = (
    "CapabilityBoundingSet=", "PrivateTmp=yes", "PrivateDevices=yes", "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes", "RestrictNamespaces=yes", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
)  # fmt: skip
#: For a kubelet: its pods outlive it, and are limited by control groups below its own.
_KEEPS_CHILDREN = ("KillMode=process", "Delegate=yes", "OOMPolicy=continue", "TasksMax=infinity")


class Systemd:
    """The units of one slice on this host.

    Args:
        slice_name: Name of the slice.
    """

    def __init__(self, slice_name: str) -> None:
        self.prefix = f"mls-{slice_name}-"

    def unit(self, name: str) -> str:
        """Return the unit of a program."""
        return f"{self.prefix}{name}.service"

    def running(self) -> bool:
        """Whether any unit of the slice is there."""
        return bool(self._files())

    def processes(self) -> list[dict[str, Any]]:
        """Return a table of processes, as supervisord has it.

        Raises:
            SupervisorError: systemd does not answer.
        """
        units = [path.name for path in self._files()]
        if not units:
            return []
        with Path("/proc/uptime").open(encoding="ascii") as stream:
            now = float(stream.read().split()[0])
        return [self._info(values, now) for values in self._show(units)]

    def known(self, names: Iterable[str]) -> list[str]:
        """Return those of some programs that have a unit."""
        return [name for name in names if (UNITS / self.unit(name)).exists()]

    def pending(self, programs: list[Program]) -> list[str]:
        """Return the names of programs whose files or units differ from what is wanted, or that do not run."""
        states = {info["name"]: info["statename"] for info in self.processes()}
        return [
            program["name"]
            for program in programs
            if states.get(program["name"]) not in ("RUNNING", "STARTING")
            or any(
                not path.is_file() or path.read_text(encoding="utf-8") != text for path, text in self._wanted(program)
            )
        ]

    def ensure(self, programs: list[Program]) -> list[str]:
        """Make the programs be there and run, with their files; return the names of those that were touched.

        Raises:
            SupervisorError: systemd refuses.
        """
        pending = self.pending(programs)
        units = []
        for program in programs:
            directory = Path(program["directory"])
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path, text in self._wanted(program):
                write_file(path, text, 0o644 if path.parent == UNITS else 0o600)
            if program["name"] in pending:
                units.append(self.unit(program["name"]))
        if units:
            self._systemctl("daemon-reload")
            self._systemctl("enable", "--quiet", *units)
            self._systemctl("restart", *units)
        return pending

    def restart(self, names: Iterable[str]) -> None:
        """Read the units again and start them anew.

        Raises:
            SupervisorError: systemd refuses.
        """
        self._systemctl("daemon-reload")
        self._systemctl("restart", *(self.unit(name) for name in names))

    def remove(self, names: Iterable[str]) -> list[str]:
        """Stop programs and forget them; return the names of those that were there.

        Raises:
            SupervisorError: systemd refuses.
        """
        there = self.known(names)
        units = [self.unit(name) for name in there]
        if units:
            self._systemctl("disable", "--quiet", "--now", *units)
            for unit in units:
                (UNITS / unit).unlink(missing_ok=True)
            self._systemctl("daemon-reload")
            self._systemctl("reset-failed", *units, check=False)  # units that never failed are refused
        return there

    def shutdown(self) -> bool:
        """Stop and forget every unit of the slice; return whether there was one."""
        names = [path.name.removeprefix(self.prefix).removesuffix(".service") for path in self._files()]
        return bool(self.remove(names))

    def last_lines(self, name: str, count: int = 5) -> list[str]:
        """Return the last lines that a program logged."""
        argv = [
            "journalctl",
            "--unit",
            self.unit(name),
            "--lines",
            str(count),
            "--output",
            "cat",
            "--no-pager",
            "--quiet",
        ]
        try:
            done = subprocess.run(
                argv,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                text=True,
                errors="replace",
                timeout=10,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return []
        return [line for line in done.stdout.splitlines() if line.strip()]

    def unit_text(self, program: Program) -> str:
        """Return the text of a program's unit file."""
        writable = [program["directory"]]
        lines = [
            "# Written by mls; `mls framework destroy-all` removes it.",
            "[Unit]",
            "Description=MLSysOps: {}".format(program["name"]),
            "Wants=network-online.target",
            "After=network-online.target",
            "StartLimitIntervalSec=0",
            "",
            "[Service]",
            "Type=exec",
            "ExecStart=" + " ".join(_quoted(word) for word in program["command"]),
            "WorkingDirectory=" + program["directory"],
            *("Environment=" + _quoted(f"{key}={value}") for key, value in sorted(program["environment"].items())),
            "SyslogIdentifier=" + program["name"],
            "UMask=0077",
            "Restart=always",
            "RestartSec=1",
            "TimeoutStopSec=15",
            *_HARDENING,
        ]
        if program.get("keeps_children"):
            lines += _KEEPS_CHILDREN
            writable.append("-/sys/fs/cgroup")
        else:
            lines += _CONFINED
        lines += ["ReadWritePaths=" + " ".join(writable), "", "[Install]", "WantedBy=multi-user.target", ""]
        return "\n".join(lines)

    def _wanted(self, program: Program) -> list[tuple[Path, str]]:
        files = [(Path(file["path"]), file["content"]) for file in program.get("files", [])]
        return [(UNITS / self.unit(program["name"]), self.unit_text(program)), *files]

    def _files(self) -> list[Path]:
        return sorted(UNITS.glob(self.prefix + "*.service"))

    def _show(self, units: list[str]) -> list[dict[str, str]]:
        text = self._systemctl("show", "--property", _PROPERTIES, *units)
        return [
            dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            for block in text.strip().split("\n\n")
        ]

    def _info(self, values: dict[str, str], now: float) -> dict[str, Any]:
        since = int(values.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
        return {
            "name": values["Id"].removeprefix(self.prefix).removesuffix(".service"),
            "statename": _STATES.get(values.get("ActiveState", ""), "STOPPED"),
            "pid": int(values.get("MainPID") or 0),
            "exitstatus": int(values.get("ExecMainStatus") or 0),
            "start": int(since),
            "now": int(now),
        }

    def _systemctl(self, *arguments: str, check: bool = True) -> str:
        try:
            done = subprocess.run(
                ["systemctl", "--no-pager", *arguments],
                capture_output=True, stdin=subprocess.DEVNULL, text=True, errors="replace", timeout=90, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise SupervisorError(f"systemctl {arguments[0]}: {exc}") from exc
        if check and done.returncode != 0:
            raise SupervisorError(f"systemctl {arguments[0]}: {' '.join(done.stderr.split())}")
        return done.stdout


def _quoted(word: str) -> str:
    """Quote a word of a unit file (systemd.syntax(7), systemd.service(5) on ``%`` and ``$``)."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if not word or any(c in word for c in " \t\"'\\;") else escaped
