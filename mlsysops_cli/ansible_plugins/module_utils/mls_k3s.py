"""k3s on this host: its files, its unit, whose it is, and whether it runs what it should.

Standard library only. The unit is like the one that k3s' own installer writes (https://docs.k3s.io/advanced).
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.mls_download import file_digest
from ansible.module_utils.mls_files import write_file
from ansible.module_utils.mls_k3s_version import refusal

__all__ = ["CONFIG", "DATA", "PROGRAM", "RECORD", "UNITS", "K3s", "K3sError", "run"]

CONFIG = Path("/etc/rancher/k3s")
DATA = Path("/var/lib/rancher/k3s")
PROGRAM = Path("/usr/local/bin/k3s")
RECORD = CONFIG / "mlsysops.json"
UNITS = Path("/etc/systemd/system")
#: What is of interest of the host before k3s came, so that it can be given back as it was.
WATCHED = (
    "/etc/rancher", "/run/flannel", "/run/k3s", "/var/lib/cni", "/var/lib/kubelet", "/var/lib/rancher",
    "/var/log/containers", "/var/log/pods",
)  # fmt: skip
_UNIT = """\
# Written by mls; `mls framework destroy-all` removes it.
[Unit]
Description=k3s {role}
Documentation=https://k3s.io
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type={kind}
EnvironmentFile=-{config}/k3s.env
KillMode=process
Delegate=yes
LimitNOFILE=1048576:1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart={program} {role} --config {config}/config.yaml

[Install]
WantedBy=multi-user.target
"""


class K3sError(Exception):
    """k3s cannot be made to run; the message is one line.

    Attributes:
        family: Which family of errors it is.
    """

    def __init__(self, message: str, family: str = "") -> None:
        super().__init__(message)
        self.family = family


def run(*argv: str, timeout: float = 60, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; one that is missing or hangs has status 127 or 124."""
    try:
        return subprocess.run(
            argv, input=text, stdin=None if text is not None else subprocess.DEVNULL,
            capture_output=True, text=True, errors="replace", timeout=timeout, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        return subprocess.CompletedProcess(argv, 127, "", f"{argv[0]} is not installed")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 124, "", f"{argv[0]} did not end within {timeout:g} s")


class K3s:
    """The k3s of one slice on this host.

    Args:
        owner: Name of the slice.
        role: ``server`` or ``agent``.
    """

    def __init__(self, owner: str, role: str) -> None:
        self.owner = owner
        self.role = role
        self.unit = "k3s.service" if role == "server" else "k3s-agent.service"

    # -- whose it is ------------------------------------------------------------------------------------------------

    def record(self) -> dict[str, Any]:
        """Return what was written down of this host's k3s; empty where it is not ours or not there."""
        try:
            found: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    def foreign(self) -> str:
        """Return what of a k3s is here that this slice did not make; empty where there is nothing."""
        owner = self.record().get("slice")
        if owner == self.owner:
            return ""
        if owner:
            return f"slice {owner} has its k3s here: destroy that slice first, or use another host"
        for path in (
            UNITS / "k3s.service",
            UNITS / "k3s-agent.service",
            PROGRAM,
            CONFIG / "config.yaml",
            DATA / "server",
            DATA / "agent",
        ):
            if path.exists():
                return f"a k3s that mls did not install is here ({path}): remove it with k3s-uninstall.sh, or use another host"
        return ""

    def claim(self, wanted: str, *, check: bool) -> bool:
        """Write down that k3s on this host is this slice's, and what was here before; return whether it was not yet.

        Args:
            wanted: Version that it shall become; any where empty.
            check: Only look.

        Raises:
            K3sError: It is somebody else's, or it cannot become that version.
        """
        foreign = self.foreign()
        if foreign:
            raise K3sError(foreign, "conflict")
        if self.record():
            refused = refusal(self.version(), wanted) if wanted else ""
            if refused:
                raise K3sError(refused, "refused")
            return False
        if not check:
            # The entries of what is there already: somebody else's, who may have them back.
            before = {
                path: sorted(entry.name for entry in Path(path).iterdir()) for path in WATCHED if Path(path).is_dir()
            }
            self._write_record({"slice": self.owner, "role": self.role, "before": before, "tables": nft_tables()})
        return True

    def version(self) -> str:
        """Return what the program says that it is; empty where there is none."""
        return run(str(PROGRAM), "--version").stdout.strip() if PROGRAM.is_file() else ""

    def note(self, **known: Any) -> None:
        """Write something down beside whose it is; what is None is forgotten."""
        record = {key: value for key, value in {**self.record(), **known}.items() if value is not None}
        self._write_record(record)

    def _write_record(self, record: dict[str, Any]) -> None:
        CONFIG.mkdir(parents=True, exist_ok=True, mode=0o755)
        write_file(RECORD, json.dumps(record, indent=2, sort_keys=True) + "\n")

    # -- what it should be ------------------------------------------------------------------------------------------

    def files(self, config: dict[str, Any], registries: dict[str, Any], environment: dict[str, str]) -> dict[Path, str]:
        """Return its files with their contents; an empty one is not wanted. JSON is YAML."""
        lines = "".join(f"{key}={_quoted(value)}\n" for key, value in sorted(environment.items()) if value)
        return {
            CONFIG / "config.yaml": _yaml(config),
            CONFIG / "registries.yaml": _yaml(registries) if registries else "",
            CONFIG / "k3s.env": lines,
            UNITS / self.unit: _UNIT.format(
                role=self.role, kind="notify" if self.role == "server" else "exec", config=CONFIG, program=PROGRAM
            ),
        }

    def pending(self, files: dict[Path, str]) -> bool:
        """Whether a file differs, or what runs was started with other files or another program."""
        differs = any(_content(path) != text for path, text in files.items())
        return differs or self.record().get("runs") != _digest(files) or self.state() not in ("active", "activating")

    def ensure(self, files: dict[Path, str], timeout: float) -> None:
        """Write the files, start it anew, and wait until it is ready.

        Raises:
            K3sError: It is not ready in time; says what it logged last.
        """
        if not PROGRAM.is_file():
            raise K3sError(f"{PROGRAM} is missing", "not-found")
        self.write(files)
        self.restart(timeout)
        self.note(runs=_digest(files))

    @staticmethod
    def write(files: dict[Path, str]) -> None:
        """Write its files; one that is not wanted goes."""
        for path, text in files.items():
            if text:
                write_file(path, text, 0o644 if path.parent == UNITS else 0o600)
            else:
                path.unlink(missing_ok=True)

    def restart(self, timeout: float) -> None:
        """Start it anew, and wait until it is ready.

        Raises:
            K3sError: It is not ready in time; says what it logged last.
        """
        for words in (["daemon-reload"], ["enable", "--quiet", self.unit], ["restart", "--no-block", self.unit]):
            done = run("systemctl", *words)
            if done.returncode != 0:
                raise K3sError(f"systemctl {words[0]}: {' '.join(done.stderr.split())}")
        self.wait(timeout)

    def wait(self, timeout: float) -> None:
        """Wait until a server says that it is ready, or an agent was let in by its server.

        Raises:
            K3sError: It is not in time.
        """
        deadline = time.monotonic() + timeout
        proof = DATA / "agent" / "kubelet.kubeconfig"
        while True:
            state = self.state()
            if state == "active" and (self.role == "server" or proof.is_file()):
                return
            if time.monotonic() > deadline:
                raise K3sError(
                    f"{self.unit} is not ready after {timeout:g} s ({state}): {self.last_line()}", "timed-out"
                )
            time.sleep(0.25)

    def state(self) -> str:
        """Return systemd's word for how the unit is."""
        return run("systemctl", "show", "--property", "ActiveState", "--value", self.unit).stdout.strip() or "unknown"

    def last_line(self) -> str:
        """Return the last thing that it logged that tells of a fault, else the very last."""
        done = run(
            "journalctl", "--unit", self.unit, "--lines", "60", "--output", "cat", "--no-pager", "--quiet", timeout=10
        )
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        own = [line for line in lines if "level=" in line or "msg=" in line]
        faults = [line for line in own if "level=fatal" in line or "level=error" in line]
        return (faults or own or lines or ["it logged nothing"])[-1][-300:]


def nft_tables() -> list[str]:
    """Return family and name of every table of the packet filter; none where nft is not installed."""
    done = run("nft", "--json", "list", "tables", timeout=15)
    try:
        entries = json.loads(done.stdout)["nftables"]
    except (ValueError, KeyError):
        return []
    return [f"{entry['table']['family']} {entry['table']['name']}" for entry in entries if "table" in entry]


def _digest(files: dict[Path, str]) -> str:
    digest = hashlib.sha256(file_digest(PROGRAM).encode())
    for path, text in sorted(files.items()):
        digest.update(str(path).encode() + b"\0" + text.encode() + b"\0")
    return digest.hexdigest()


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _yaml(value: dict[str, Any]) -> str:
    """Return a mapping as YAML: one key a line, values as JSON, which is YAML."""
    lines = ["# Written by mls; the inventory says what is in it.\n"]
    lines += [f"{key}: {json.dumps(item, ensure_ascii=False)}\n" for key, item in value.items()]
    return "".join(lines)


def _quoted(value: str) -> str:
    """Quote a value of an environment file (systemd.exec(5), EnvironmentFile)."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`") + '"'
