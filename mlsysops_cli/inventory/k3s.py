"""Reads what an inventory says of k3s and Karmada."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_cli.slice.k3s import K3sSettings

if TYPE_CHECKING:
    from mlsysops_core.errors import Fault

    from mlsysops_cli.inventory.loader import RawInventory
    from mlsysops_cli.inventory.values import Reader

__all__ = ["read_k3s", "read_taints"]

_VARIABLES = {
    "k3s_version": "mls_k3s_version",
    "karmada_version": "mls_karmada_version",
    "artifacts_dir": "mls_artifacts_dir",
    "mirror": "mls_artifacts_mirror",
    "k3s_url": "mls_k3s_url",
    "karmada_url": "mls_karmada_url",
    "https_proxy": "mls_https_proxy",
    "no_proxy": "mls_no_proxy",
    "join": "mls_karmada_join",
}
_VERSIONS = {
    "k3s_version": (re.compile(r"v\d+\.\d+\.\d+(-[a-z0-9.]+)?\+k3s\d+"), "a release such as v1.36.4+k3s1"),
    "karmada_version": (re.compile(r"v\d+\.\d+\.\d+(-[a-z0-9.]+)?"), "a release such as v1.18.2"),
}
#: Their form is checked with that of other single variables.
_URLS = ("mirror", "k3s_url", "karmada_url", "https_proxy")
# https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
_TAINT = re.compile(r"(?P<key>[^=:]+)(?:=(?P<value>[^:]*))?:(?P<effect>NoSchedule|PreferNoSchedule|NoExecute)")


def read_k3s(raw: RawInventory, read: Reader, faults: list[Fault]) -> K3sSettings:
    """Return the settings, adding a fault for each that cannot be.

    Args:
        raw: The inventory.
        read: Its typed reader.
        faults: Is added to.
    """
    said: dict[str, Any] = {field: read.shared(variable) for field, variable in _VARIABLES.items()}

    def fault(field: str, message: str, hint: str) -> None:
        variable = _VARIABLES[field]
        faults.append(raw.fault(variable, message=f"{variable} {message}", hint=hint, path=variable))
        said[field] = ""

    for field, (pattern, hint) in _VERSIONS.items():
        if said[field] and not pattern.fullmatch(said[field]):
            fault(field, f"is {said[field]}, which is no version", hint)
    for field in _URLS:
        said[field] = said[field].rstrip("/")
    if said["join"] not in ("", "pull", "push"):
        fault("join", f"is {said['join']}", "pull: clusters fetch from the continuum; push: it reaches into them")
    if said["artifacts_dir"]:  # as Ansible has it: relative to the inventory
        base = Path(raw.source).absolute()
        place = (base if base.is_dir() else base.parent) / Path(said["artifacts_dir"]).expanduser()
        said["artifacts_dir"] = str(place)
    images = {str(variables.get("mls_airgap_images")).lower() for variables in raw.hosts.values()}
    said["airgap_images"] = bool(images & {"true", "yes"})
    return K3sSettings.model_validate({field: value for field, value in said.items() if value})


def read_taints(raw: RawInventory, host: str, faults: list[Fault]) -> list[str]:
    """Return a host's taints (``taints`` or ``mls_taints``: a list of ``key=value:Effect``).

    Args:
        raw: The inventory.
        host: The host.
        faults: Is added to.
    """
    taints: list[str] = []
    for variable in ("taints", "mls_taints"):
        value = raw.hosts[host].get(variable) or []
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, str) and _TAINT.fullmatch(entry):
                taints.append(entry)
            else:
                faults.append(
                    raw.fault(
                        host,
                        variable,
                        message=f"{variable} of host {host} has {entry!r}, which is no taint",
                        hint="key=value:Effect, with NoSchedule, PreferNoSchedule or NoExecute",
                    )
                )
    return taints
