"""What Ansible's own loader makes of an inventory, with the place of everything in its files."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlsysops_core.errors import Fault, InvalidInput

from mlsysops_cli import reading as programs
from mlsysops_cli.reading import Reading, begin_reading

__all__ = ["RawInventory", "load_inventory"]

_YAML = (".yml", ".yaml", ".json")
#: A cause that has no message: so Ansible tells of a MemoryError under some versions of Python.
_WITHOUT_A_WORD = re.compile(r"<<< caused by >>>\s+(?:\[ERROR\]|\Z)")
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


def load_inventory(
    path: str, *, vault_password_file: str | None = None, reading: Reading | None = None
) -> RawInventory:
    """Read an inventory.

    Args:
        path: File or directory.
        vault_password_file: File that decrypts vaulted parts.
        reading: The same, begun already.

    Raises:
        InvalidInput: There is no such file, or Ansible cannot read it.
        TimedOut: A dynamic inventory does not come to an end.
        UsageError: Ansible is not installed.
    """
    with reading or begin_reading(path, vault_password_file) as begun:
        status, output, errors = begun.finish()
    source = begun.source
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
    if "MemoryError" in errors or _WITHOUT_A_WORD.search(errors):
        message = f"reading it takes more than {programs.MAX_MEMORY // 1024**3} GiB of memory"
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
