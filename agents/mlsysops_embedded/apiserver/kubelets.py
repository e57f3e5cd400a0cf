"""The way from the API server to kubelets: where they listen, and with which certificate it comes."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from mlsysops_embedded.errors import ApiError

__all__ = ["Kubelets"]

_PORT = 10250


class Kubelets:
    """Finds kubelets.

    Args:
        pki_dir: CA and the server's client certificate.
    """

    def __init__(self, pki_dir: Path) -> None:
        self.tls = ssl.create_default_context(cafile=str(pki_dir / "ca.crt"))
        self.tls.load_cert_chain(pki_dir / "apiserver-kubelet-client.crt", pki_dir / "apiserver-kubelet-client.key")

    @staticmethod
    def url(node: dict[str, Any]) -> str:
        """Base URL of a node's kubelet.

        Raises:
            ApiError: 500 where the node tells no address.
        """
        status = node.get("status") or {}
        port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or _PORT
        address = next((a["address"] for a in status.get("addresses") or () if a.get("type") == "InternalIP"), "")
        if not address:
            raise ApiError.internal(f"node {node['metadata']['name']} has no address")
        return f"https://{address}:{port}"
