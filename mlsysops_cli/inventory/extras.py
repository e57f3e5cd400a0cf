"""Reads what an inventory says of hosts' own settings and of where telemetry goes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlsysops_cli.inventory.forms import is_url
from mlsysops_cli.slice.extras import HostSettings, TelemetryExport

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlsysops_core.errors import Fault

    from mlsysops_cli.inventory.loader import RawInventory
    from mlsysops_cli.inventory.values import Reader

__all__ = ["read_export", "read_settings"]

#: https://www.debian.org/doc/debian-policy/ch-controlfields.html#source
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_PARAMETER = re.compile(r"[a-z0-9_]+(?:[./][A-Za-z0-9_-]+)+")


def read_export(raw: RawInventory, read: Reader, faults: list[Fault]) -> TelemetryExport:
    """Return where telemetry goes (``mls_otlp_endpoint``, ``mls_otlp_headers``), adding a fault where that is no URL."""
    endpoint = read.shared("mls_otlp_endpoint")
    if endpoint and not is_url(endpoint):
        faults.append(
            raw.fault(
                "mls_otlp_endpoint",
                message=f"mls_otlp_endpoint is {endpoint}",
                hint="the base URL of the collector's OTLP/HTTP receiver, such as http://collector:4318",
            )
        )
        endpoint = ""
    return TelemetryExport(
        endpoint=endpoint, headers=any(variables.get("mls_otlp_headers") for variables in raw.hosts.values())
    )


def read_settings(
    raw: RawInventory, read: Reader, hosts: Iterable[str], faults: list[Fault]
) -> dict[str, HostSettings]:
    """Return the settings of hosts (``mls_sysctl``, ``mls_packages``, ``mls_time_sync``), by name.

    Args:
        raw: The inventory.
        read: Typed access to it.
        hosts: Names of the hosts.
        faults: Is added to.
    """

    def fault(host: str, key: str, what: str, hint: str) -> None:
        faults.append(raw.fault(host, key, message=f"{key} of host {host} {what}", hint=hint))

    found = {}
    for host in hosts:
        sysctl = {}
        for name, value in read.mapping(host, "mls_sysctl").items():
            if not _PARAMETER.fullmatch(str(name)) or isinstance(value, dict | list | bool) or value is None:
                fault(host, "mls_sysctl", f"has {name}: {value!r}", "name: value, such as net.core.somaxconn: 4096")
            else:
                sysctl[str(name)] = str(value)
        said = raw.hosts[host].get("mls_packages") or []
        packages = tuple(str(name) for name in (said if isinstance(said, list) else [said]))
        wrong = [name for name in packages if not _PACKAGE.fullmatch(name)]
        if wrong:
            fault(host, "mls_packages", f"has {wrong[0]!r}, which is no name of a Debian package", "a list of names")
        time_sync = raw.hosts[host].get("mls_time_sync", True)
        if not isinstance(time_sync, bool):
            fault(host, "mls_time_sync", f"is {time_sync!r}", "true or false")
        found[host] = HostSettings(sysctl=sysctl, packages=packages, time_sync=time_sync is not False)
    return found
