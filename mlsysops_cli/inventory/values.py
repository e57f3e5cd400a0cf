"""Reads single variables of an inventory with their types, adding a fault for each that has the wrong one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlsysops_core.errors import Fault

    from mlsysops_cli.inventory.loader import RawInventory

__all__ = ["Reader"]

# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
_LABEL_NAME = re.compile(r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-\w.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-\w.]{0,61}[A-Za-z0-9])?)?")


class Reader:
    """Typed access to host variables.

    Args:
        raw: The inventory.
        faults: Is added to.
    """

    def __init__(self, raw: RawInventory, faults: list[Fault]) -> None:
        self._raw = raw
        self._faults = faults

    def text(self, host: str, key: str) -> str:
        """Return a variable as text; empty where it is absent or, with a fault, of the wrong type."""
        value = self._raw.hosts[host].get(key)
        if value is None:
            return ""
        if isinstance(value, dict | list | bool):
            vaulted = isinstance(value, dict) and "__ansible_vault" in value
            self._fault(
                host,
                key,
                "is vaulted in the line" if vaulted else f"is {value!r}, wanted text",
                "write it plainly, or vault the whole file" if vaulted else "quote it",
            )
            return ""
        text = str(value).strip()
        if "{{" in text:
            self._fault(host, key, "is a template, which is known only while a play runs", "write the value itself")
            return ""
        return text

    def shared(self, key: str) -> str:
        """Return a variable that all hosts which have it must agree on."""
        values: dict[str, str] = {}
        for host in self._raw.hosts:
            value = self.text(host, key)
            if value:
                values.setdefault(value, host)
        if len(values) > 1:
            (first, a), (second, b) = list(values.items())[:2]
            self._fault(b, key, f"is {second}, but {first} on host {a}", "set it once, for all hosts")
        return next(iter(values), "")

    def shared_int(self, key: str, low: int, high: int) -> int | None:
        """Return a whole number that all hosts agree on, within bounds; None where absent."""
        text = self.shared(key)
        if not text:
            return None
        if not text.isdecimal() or not low <= int(text) <= high:
            self._faults.append(
                self._raw.fault(key, message=f"{key} is {text}", hint=f"a whole number from {low} to {high}", path=key)
            )
            return None
        return int(text)

    def shared_flag(self, key: str) -> bool:
        """Return a yes or no that all hosts which have it agree on; False where absent."""
        found = {host: variables[key] for host, variables in self._raw.hosts.items() if key in variables}
        for host, value in found.items():
            if not isinstance(value, bool):
                self._fault(host, key, f"is {value!r}", "true or false")
        if len({str(value) for value in found.values()}) > 1:
            self._fault(next(iter(found)), key, "differs from that of other hosts", "set it once, for all hosts")
        return any(value is True for value in found.values())

    def mapping(self, host: str, key: str) -> dict[str, Any]:
        """Return a variable that is a mapping; empty where absent."""
        value = self._raw.hosts[host].get(key)
        if value is None:
            return {}
        if not isinstance(value, dict) or "__ansible_vault" in value:
            self._fault(host, key, "is not a mapping", "write it as key: value")
            return {}
        return dict(value)

    def labels(self, host: str) -> dict[str, str]:
        """Return a host's labels as Kubernetes wants them (``labels`` and ``mls_labels``; values become text)."""
        labels: dict[str, str] = {}
        for variable in ("labels", "mls_labels"):
            value = self._raw.hosts[host].get(variable)
            entries = dict.fromkeys(value, "") if isinstance(value, list) else self.mapping(host, variable)
            for key, item in entries.items():
                text = str(item).lower() if isinstance(item, bool) else "" if item is None else str(item)
                if not _LABEL_NAME.fullmatch(str(key)):
                    self._fault(host, variable, f"has {key!r}, which is no label name", "see Kubernetes' label syntax")
                elif isinstance(item, dict | list) or not _LABEL_VALUE.fullmatch(text):
                    self._fault(
                        host,
                        variable,
                        f"has {key}: {item!r}, which is no label value",
                        "at most 63 letters, digits, -_.",
                    )
                else:
                    labels[str(key)] = text
        return labels

    def _fault(self, host: str, key: str, message: str, hint: str) -> None:
        self._faults.append(self._raw.fault(host, key, message=f"{key} of host {host} {message}", hint=hint))
