"""Checks of an inventory that span several hosts: names, addresses, networks."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from mlsysops_core.node_labels import kubelet_may_set

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlsysops_core.errors import Fault

    from mlsysops_cli.inventory.loader import RawInventory
    from mlsysops_cli.slice.model import Engine, Host

__all__ = ["check_labels", "check_name", "check_networks"]

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_DNS_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def check_name(
    raw: RawInventory, faults: list[Fault], name: str, what: str, place: Sequence[str], *, label: bool = False
) -> None:
    """Add a fault where a name is not a DNS-1123 subdomain (RFC 1123), or label where asked for.

    Args:
        raw: The inventory.
        faults: Is added to.
        name: The name.
        what: What it is a name of.
        place: Names that lead to it in the file.
        label: A label (no dots, at most 63 characters) rather than a subdomain (at most 253).
    """
    pattern = _DNS_LABEL if label else _DNS_NAME
    if pattern.fullmatch(name):
        return
    better = re.sub(r"[^-a-z0-9.]+", "-", name.lower()).strip("-.")[: 63 if label else 253]
    hint = (
        f"lower-case letters, digits and '-'; for example {better}" if better else "lower-case letters, digits and '-'"
    )
    if what == "cluster name":
        hint += ", set as mls_cluster"
    faults.append(raw.fault(*place, message=f"{what} {name!r} is not a DNS-1123 name", hint=hint, path=place[0]))


def check_labels(raw: RawInventory, faults: list[Fault], hosts: Mapping[str, Host], engine: Engine) -> None:
    """Add a fault for each label with which a node could not register: those of Kubernetes' domains are the administrators'.

    Args:
        raw: The inventory.
        faults: Is added to.
        hosts: The hosts with their labels.
        engine: Says which of them become nodes of ours: on k3s all, on the embedded engine workers, of clusters that exist none.
    """
    roles = {"k3s": ("management", "server", "worker"), "embedded": ("worker",)}.get(engine, ())
    for host in hosts.values():
        for label in host.labels if host.role in roles else ():
            if not kubelet_may_set(label):
                variable = next(
                    (v for v in ("mls_labels", "labels") if label in (raw.hosts[host.name].get(v) or ())), "labels"
                )
                faults.append(
                    raw.fault(
                        host.name,
                        variable,
                        message=f"{variable} of host {host.name} has {label}, which no node may set on itself: it would never register",
                        hint="use a prefix of your own, or label the node with kubectl once the slice runs",
                    )
                )


def check_networks(
    raw: RawInventory,
    faults: list[Fault],
    networks: Mapping[str, tuple[str | None, str | None]],
    hosts: Mapping[str, str],
) -> None:
    """Add faults for networks that do not parse, and for those that overlap.

    Args:
        raw: The inventory.
        faults: Is added to.
        networks: Pod and service CIDR of each owner (``the continuum``, ``cluster c1``).
        hosts: Host that sets a network, by ``owner/key``.
    """
    parsed: list[tuple[str, str, Network]] = []
    for owner, values in networks.items():
        for key, value in zip(("pod_cidr", "service_cidr"), values, strict=True):
            if not value:
                continue
            place = (hosts.get(f"{owner}/{key}", ""), key)
            try:
                network = ipaddress.ip_network(value)
            except ValueError as exc:
                faults.append(
                    raw.fault(*place, message=f"{key} of {owner}: {exc}", hint=_cidr_hint(value), path=".".join(place))
                )
                continue
            for other_owner, other_key, other in parsed:
                if network.version == other.version and network.overlaps(other):
                    faults.append(
                        raw.fault(
                            *place,
                            message=f"{key} {network} of {owner} overlaps {other_key} {other} of {other_owner}",
                            hint="give every pod and service network of the slice a range of its own",
                        )
                    )
            parsed.append((owner, key, network))


def _cidr_hint(value: str) -> str:
    try:
        return f"did you mean {ipaddress.ip_network(value, strict=False)}?"
    except ValueError:
        return "a network such as 10.12.0.0/16"
