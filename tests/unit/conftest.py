"""Unit tests start no program: an inventory is parsed here, in place of ``ansible-inventory``, which takes a second or two.

This knows plain YAML alone. Everything else that Ansible takes is tested with Ansible's own loader (`tests/integration/inventory`),
where it is also held against this one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlsysops_cli import reading

Groups = dict[str, dict[str, Any]]


class ParsedInventory:
    """Answers as `mlsysops_cli.reading.Reading` does, from a plain YAML inventory."""

    def __init__(self, source: Path, shown: str, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        assert source.suffix in (".yml", ".yaml", ".json"), f"{shown}: Ansible's own loader is for integration tests"
        self.source = source

    def __enter__(self) -> ParsedInventory:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def finish(self) -> tuple[int, bytes, str]:
        """Return what ``ansible-inventory --list`` would."""
        document = yaml.safe_load(self.source.read_text(encoding="utf-8"))
        return 0, json.dumps(listed(document), default=str).encode(), ""


def listed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a YAML inventory in the form of ``ansible-inventory --list``.

    Args:
        document: The inventory; of its groups and hosts each may appear several times.
    """
    groups: Groups = {"all": {"hosts": {}, "children": [], "vars": {}, "depth": 0}}
    for name, content in document.items():
        _collect(groups, name, content or {}, 0 if name == "all" else 1)
        if name != "all" and name not in groups["all"]["children"]:
            groups["all"]["children"].append(name)
    hosts = list(dict.fromkeys(host for group in groups.values() for host in group["hosts"]))
    variables = {host: _variables(groups, host) for host in hosts}
    direct = {name: list(group["hosts"]) for name, group in groups.items() if name != "all"}
    grouped = {host for names in direct.values() for host in names}
    direct["ungrouped"] = [host for host in hosts if host not in grouped]
    children = {name: group["children"] for name, group in groups.items()}
    children["all"] = ["ungrouped", *children["all"]]
    answer = {
        name: {"hosts": direct.get(name, []), "children": children.get(name, [])} for name in {**children, **direct}
    }
    return answer | {"_meta": {"hostvars": variables}}


def _collect(groups: Groups, name: str, content: Mapping[str, Any], depth: int) -> None:
    group = groups.setdefault(name, {"hosts": {}, "children": [], "vars": {}, "depth": depth})
    group["depth"] = max(group["depth"], depth)
    group["vars"] |= content.get("vars") or {}
    for host, own in (content.get("hosts") or {}).items():
        assert "[" not in host, "ranges of hosts are for integration tests"
        group["hosts"].setdefault(host, {}).update(own or {})
    for child, inner in (content.get("children") or {}).items():
        if child not in group["children"]:
            group["children"].append(child)
        _collect(groups, child, inner or {}, depth + 1)


def _variables(groups: Groups, host: str) -> dict[str, Any]:
    """Merge what a host's groups say, the outermost first, and what is its own."""

    def has(name: str) -> bool:
        return host in groups[name]["hosts"] or any(has(child) for child in groups[name]["children"])

    mine = sorted((name for name in groups if name == "all" or has(name)), key=lambda n: (groups[n]["depth"], n))
    merged: dict[str, Any] = {}
    for name in mine:
        merged |= groups[name]["vars"]
    for group in groups.values():
        merged |= group["hosts"].get(host, {})
    return merged


@pytest.fixture(autouse=True)
def inventories_are_parsed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "Reading", ParsedInventory)
