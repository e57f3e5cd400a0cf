"""Kubelets of the embedded engine, which join whichever API server is tested; pods run in name only unless images are named."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from kube_process import Process, free_port


class Kubelets:
    """Nodes of a control plane under test.

    A node needs two things in the directory before it is started: ``<node>.kubeconfig``, and ``<node>-pki`` with a
    serving certificate for its address.

    Args:
        directory: Scratch directory.
        nodes: Their names.
        pod_network: First two octets of the pods' addresses. Nothing listens there where all pods are simulated.
        addresses: First three octets of the nodes' own addresses.
        images: What the kubelets run: image patterns and programs (`mlsysops_embedded.kubelet.config.Image`).
    """

    def __init__(
        self,
        directory: Path,
        nodes: tuple[str, ...],
        pod_network: str = "127.121",
        addresses: str = "127.121.1",
        images: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.directory = directory
        self.nodes = nodes
        self.pod_network = pod_network
        self.addresses = addresses
        self.images = list(images)
        self.processes: dict[str, Process] = {}

    def address(self, node: str) -> str:
        """Where a node's kubelet listens."""
        return f"{self.addresses}.{self.nodes.index(node) + 1}"

    def kubeconfig(self, node: str) -> Path:
        """The kubelet's access to the API."""
        return self.directory / f"{node}.kubeconfig"

    def pki(self, node: str) -> Path:
        """Where the kubelet's serving certificate lies."""
        return self.directory / f"{node}-pki"

    def start(self, node: str, **more: Any) -> Process:
        """Start a kubelet.

        Args:
            node: One of `nodes`.
            more: Further keys of its configuration.
        """
        runtime = self.directory / f"{node}-runtime.yaml"
        runtime.write_text(yaml.safe_dump({"images": self.images}))
        config = {
            "node": node,
            "kubeconfig": str(self.kubeconfig(node)),
            "data_dir": str(self.directory / node),
            "address": self.address(node),
            "pod_cidr": f"{self.pod_network}.{64 + self.nodes.index(node)}.0/24",
            "listen": {"port": free_port(self.address(node))},
            "pki_dir": str(self.pki(node)),
            "labels": {"contract/node": node},
            "taints": [],
            "max_pods": 110,
            "runtime_config": str(runtime),
            **more,
        }
        file = self.directory / f"{node}.yaml"
        file.write_text(yaml.safe_dump(config))
        argv = [sys.executable, "-m", "mlsysops_embedded", "kubelet", "--config", str(file)]
        self.processes[node] = Process(argv, self.directory / f"{node}.log")
        return self.processes[node]

    def stop(self) -> None:
        """End those that run."""
        for process in self.processes.values():
            process.stop()
