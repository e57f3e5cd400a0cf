"""Reads an inventory with Ansible's own loader, ``ansible-inventory``, run as a program.

So INI, YAML, directories, dynamic inventories and vaulted files mean here what they mean to Ansible. The
program is used instead of Ansible's Python API because that API is GPL-licensed and not meant for import.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlsysops_core.errors import Fault, InvalidInput, TimedOut, UsageError

__all__ = ["RawInventory", "ansible_program", "load_inventory"]

_TIMEOUT = 60.0
#: Bytes; ten thousand hosts take a tenth of it. A program or a range of hosts without an end must not take the machine's.
_MAX_MEMORY = 4 * 1024**3
_YAML = (".yml", ".yaml", ".json")
_MAX_SOURCE = 4 * 1024 * 1024


@dataclass(slots=True)
class RawInventory:
    """An inventory as Ansible sees it.

    Attributes:
        source: What the user named.
        hosts: Merged variables of each host, in the inventory's order.
        groups: Direct hosts of each group.
        children: Direct child groups of each group.
        lines: Text of the inventory's files, for naming the line of a fault.
    """

    source: str
    hosts: dict[str, dict[str, Any]]
    groups: dict[str, list[str]]
    children: dict[str, list[str]]
    lines: dict[str, list[str]] = field(default_factory=dict)

    def place(self, *names: str) -> tuple[str, int, int]:
        """Return file, line and column (1-based) where the last of several nested names first appears.

        ``place("worker1", "pod_cidr")`` looks for ``pod_cidr`` after ``worker1``. Line 0 means unknown.
        """
        for file, lines in self.lines.items():
            found = (0, 0)
            start = 0
            for name in names:
                pattern = re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w-])")
                for number, line in enumerate(lines[start:], start + 1):
                    match = pattern.search(line.split("#", 1)[0])
                    if match:
                        found = (number, match.start() + 1)
                        start = number - 1
                        break
            if found[0]:
                return file, *found
        return self.source, 0, 0

    def fault(self, *names: str, message: str, hint: str, path: str = "") -> Fault:
        """Return a fault placed where the names appear."""
        file, line, column = self.place(*names) if names else (self.source, 0, 0)
        return Fault(source=file, line=line, column=column, path=path or ".".join(names), message=message, hint=hint)


def ansible_program(name: str) -> str:
    """Return the absolute path of one of Ansible's programs.

    The one beside this interpreter is preferred, so that it is found when ``PATH`` lacks the environment.

    Raises:
        UsageError: Ansible is not installed.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which(name)
    if not found:
        raise UsageError(f"{name} is not installed", hint="pip install 'mlsysops-cli[deploy]'")
    return found


def load_inventory(path: str, *, vault_password_file: str | None = None) -> RawInventory:
    """Read an inventory.

    Args:
        path: File or directory.
        vault_password_file: File that decrypts vaulted parts.

    Raises:
        InvalidInput: There is no such file, or Ansible cannot read it.
        TimedOut: A dynamic inventory does not come to an end.
        UsageError: Ansible is not installed.
    """
    source = Path(path).expanduser()
    if not source.exists():
        raise InvalidInput(f"{path}: no such inventory", hint="name one with --inventory")
    _check_text(source, path)
    argv = [ansible_program("ansible-inventory"), "--inventory", str(source.absolute()), "--list"]
    if vault_password_file:
        if not os.access(vault_password_file, os.R_OK):
            why = "cannot be read" if Path(vault_password_file).exists() else "no such file"
            raise InvalidInput(f"{vault_password_file}: {why}", hint="check --vault-password-file")
        argv += ["--vault-password-file", vault_password_file]
    environment = {
        **os.environ,
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
        "ANSIBLE_DUPLICATE_YAML_DICT_KEY": "error",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
    }
    status, output, errors = _run(argv, environment, path)
    if status != 0:
        plugin = (
            "script" if os.access(source, os.X_OK) and source.is_file() else "yaml" if source.suffix in _YAML else "ini"
        )
        raise InvalidInput(faults=[_loader_fault(path, errors, plugin)])
    try:
        data = json.loads(output)
    except ValueError as exc:
        raise InvalidInput(f"{path}: ansible-inventory printed no JSON", hint=_last_line(errors)) from exc
    return _raw(path, data, source)


def _run(argv: list[str], environment: dict[str, str], shown: str) -> tuple[int, bytes, str]:
    """Run a program in a session of its own, with an end in time and in memory for it and for what it starts.

    Returns:
        Its exit status, standard output and standard error.

    Raises:
        TimedOut: It does not come to an end; neither it nor what it started is left.
    """
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
        start_new_session=True,
    ) as child:  # fmt: skip
        with contextlib.suppress(OSError, ValueError):  # it ended already, or may have less anyway
            resource.prlimit(child.pid, resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))
        try:
            output, errors = child.communicate(timeout=_TIMEOUT)
        except BaseException as exc:  # Ctrl-C, too: it is in a session of its own and does not see it
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            if isinstance(exc, subprocess.TimeoutExpired):
                hint = (
                    "a dynamic inventory has to come to an end; `ansible-inventory --list -i FILE` shows where it hangs"
                )
                raise TimedOut(f"{shown}: the inventory was not read within {_TIMEOUT:.0f} s", hint=hint) from exc
            raise
    return child.returncode, output, errors.decode("utf-8", "replace")


def _check_text(source: Path, shown: str) -> None:
    if not source.is_file() or os.access(source, os.X_OK):
        return
    content = source.read_bytes()
    if not content.strip():
        raise InvalidInput(faults=[Fault(source=shown, message="the file is empty", hint="see inventories/local.yml")])
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise InvalidInput(
            faults=[Fault(source=shown, line=line, column=1, message="not UTF-8 text", hint="save it as UTF-8")]
        ) from exc


def _raw(path: str, data: dict[str, Any], source: Path) -> RawInventory:
    hostvars = data.pop("_meta", {}).get("hostvars", {})
    groups = {name: list(group.get("hosts", [])) for name, group in data.items()}
    children = {name: list(group.get("children", [])) for name, group in data.items()}
    order: dict[str, dict[str, Any]] = {}
    pending = ["all"]
    seen: set[str] = set()
    while pending:  # depth first, in the inventory's order; hostvars alone are sorted by name
        group = pending.pop(0)
        if group in seen:
            continue
        seen.add(group)
        for host in groups.get(group, []):
            order.setdefault(host, hostvars.get(host, {}))
        pending = children.get(group, []) + pending
    return RawInventory(path, order, groups, children, _texts(source, path))


def _texts(source: Path, shown: str) -> dict[str, list[str]]:
    """Read the text files of an inventory; what is binary, vaulted or a program is left out."""
    files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file())
    if source.is_file():
        for folder in ("host_vars", "group_vars"):
            files += sorted(p for p in (source.parent / folder).rglob("*") if p.is_file())
    texts = {}
    for file in files:
        if file.stat().st_size > _MAX_SOURCE:
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if not text.startswith(("#!", "$ANSIBLE_VAULT")):
            texts[shown if file == source else str(file)] = text.splitlines()
    return texts


def _loader_fault(path: str, errors: str, plugin: str) -> Fault:
    """Make one line of what Ansible says about an inventory that it cannot read.

    Args:
        path: What the user named.
        errors: What Ansible wrote to standard error: what each of its plugins says, one after the other.
        plugin: The one whose word counts.
    """
    if "vault" in errors.lower():
        message = next((line for line in errors.splitlines() if "decrypt" in line.lower()), "vaulted").rpartition(": ")[
            2
        ]
        hint = "give the password with --vault-password-file or ANSIBLE_VAULT_PASSWORD_FILE"
        return Fault(source=path, message=message, hint=hint)
    said = re.search(rf"with '{plugin}' plugin: (?:Failed to parse inventory: |YAML parsing failed: )?(.+)", errors)
    message = said[1] if said else " ".join(re.sub(r"\[(?:ERROR|WARNING)\]:", "", errors).split())[-400:]
    if "MemoryError" in errors:
        message = f"reading it takes more than {_MAX_MEMORY // 1024**3} GiB of memory"
    elif plugin == "script" and (own := re.search(r"Standard error from inventory script:\s+(.+)", errors)):
        message = f"{message.rstrip('.')}: {own[1].strip()}"
    where = re.search(r"Origin: (?!<)\S+?:(\d+):(\d+)", errors)
    line, column = (int(where[1]), int(where[2])) if where else (0, 0)
    return Fault(
        source=path,
        line=line,
        column=column,
        message=message.rstrip(".") or "Ansible cannot read it",
        hint=f"`ansible-inventory --list -i {path}` shows how Ansible reads it",
    )


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
