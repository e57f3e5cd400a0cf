"""Parts of the plan that are nobody's control plane or agent: hosts' own settings, telemetry to outside, far-edge devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlsysops_cli.slice.layout import REMOTE_STATE

if TYPE_CHECKING:
    from mlsysops_cli.slice.layout import HostLayout, SliceLayout

__all__ = ["HEADERS_FILE", "export_config", "gateways", "host_extras"]

#: What an engine needs of a host's kernel: two systemds and a kubelet need more than the 128 instances of inotify that
#: Linux gives a user (kind.sigs.k8s.io, "Known issues": pod errors due to too many open files).
_SYSCTL: dict[str, dict[str, str]] = {"k3s": {"fs.inotify.max_user_instances": "512"}}

#: What an agent reads its collector's headers from, in its directory or in its pod's Secret.
HEADERS_FILE = "otlp-headers"


def export_config(layout: SliceLayout, host: HostLayout) -> dict[str, Any]:
    """Return the part of an agent's configuration that names the user's collector; empty where there is none.

    The continuum agent, which every metric reaches, sends metrics; every agent sends traces of its own decisions.
    """
    export = layout.slice.export
    if not export.endpoint:
        return {}
    config: dict[str, Any] = {"endpoint": export.endpoint, "metrics": host.host.role == "management"}
    if export.headers:
        config["headers_file"] = _headers_file(host)
    return {"export": config}


def host_extras(layout: SliceLayout, host: HostLayout) -> dict[str, Any]:
    """Return what the roles `common`, `telemetry` and `far_edge_gateway` do on a host; empty where they do nothing."""
    name, slice_ = host.host.name, layout.slice
    extras: dict[str, Any] = {"settings": {}, "telemetry": {}, "far_edge": {}}
    if not host.host.local:  # this machine is its user's
        said = slice_.settings.get(name)
        extras["settings"] = {
            "record": str(REMOTE_STATE / "host.json"),
            "sysctl": _SYSCTL.get(slice_.engine, {}) | (said.sysctl if said else {}),
            "packages": list(said.packages) if said else [],
            "time": said.time_sync if said else True,
        }
    if slice_.export.endpoint:
        extras["telemetry"] = {"headers_file": _headers_file(host), "headers": slice_.export.headers}
    devices = [device for device in slice_.far_edge if device.gateway == name]
    if devices:
        extras["far_edge"] = {
            "file": str(host.directory / "far-edge.json"),
            "devices": [{"name": device.name, "address": device.address} for device in devices],
            "kubeconfig": str(layout.server(host.host.cluster).admin_kubeconfig),
        }
    return extras


def gateways(layout: SliceLayout) -> list[str]:
    """Return the hosts that far-edge devices are behind, in the slice's order."""
    behind = {device.gateway for device in layout.slice.far_edge}
    return [name for name in layout.hosts if name in behind]


def _headers_file(host: HostLayout) -> str:
    return str(host.directory / HEADERS_FILE)
