"""What a slice may be, and this version cannot deploy: refused before anything is touched."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from mlsysops_core.errors import Refused

if TYPE_CHECKING:
    from mlsysops_cli.slice import Slice

__all__ = ["supported"]


def supported(slice_: Slice) -> None:
    """Refuse what cannot be deployed yet.

    Raises:
        Refused: Hosts are both here and elsewhere, k3s is to be installed here, or a cluster has several servers.
    """
    local = [host.name for host in slice_.hosts.values() if host.local and host.machine]
    if local and not slice_.local:
        raise Refused(
            f"hosts of this machine ({', '.join(local)}) and hosts over SSH cannot be in one slice",
            hint="the others cannot reach local hosts, which have loopback addresses: take `ansible_connection: local` from them "
            "and set ansible_host to an address of this machine that the others reach",
        )
    if slice_.engine == "k3s" and local:
        raise Refused(
            f"k3s is installed on hosts over SSH, and these are this machine: {', '.join(local)}",
            hint="mls_engine: embedded runs a whole slice on this machine",
        )
    remote = [host for host in slice_.hosts.values() if host.machine and not host.local]
    named = [host.name for host in remote if not _is_ipv4(host.address)]
    if named:
        raise Refused(
            f"hosts without an IPv4 address: {', '.join(named)}",
            hint="set ansible_host, or mls_address, to the address at which the other hosts reach them",
        )
    for cluster in slice_.clusters:
        if slice_.engine == "embedded" and len(cluster.servers) > 1:
            raise Refused(
                f"cluster {cluster.name} has {len(cluster.servers)} servers: the embedded engine has one control plane",
                hint="keep one host in its group master_nodes",
            )


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True
