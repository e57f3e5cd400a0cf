"""The embedded engine's control plane, started as a real process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from kube_kubelets import Kubelets
from kube_process import ADDRESS, Process, await_ready, free_port


class EmbeddedControlPlane:
    """The embedded engine's control plane, and kubelets that join it.

    Args:
        directory: Scratch directory.
        address: Loopback address it listens on.
        nodes: Names of kubelets that may be started.
    """

    def __init__(self, directory: Path, address: str = ADDRESS, nodes: tuple[str, ...] = ()) -> None:
        self.directory = directory
        self.address = address
        self.port = free_port(address)
        self.url = f"https://{address}:{self.port}"
        self.pki = directory / "pki"
        self.kubeconfig = directory / "admin.kubeconfig"
        self.kubelets = Kubelets(directory, nodes)
        self.process: Process | None = None
        self.config = self._write(
            "controlplane.yaml",
            {
                "name": "contract",
                "data_dir": str(directory / "data"),
                "listen": {"address": address, "port": self.port},
                "pki_dir": str(self.pki),
                "service_cidr": "127.121.136.0/21",
                "propagation": {"enabled": False},
            },
        )
        self.bootstrap()

    @property
    def authority(self) -> tuple[Path, Path]:
        """Files of the certificate authority and its key."""
        return self.pki / "ca.crt", self.pki / "ca.key"

    def _write(self, name: str, content: Any) -> Path:
        file = self.directory / name
        file.write_text(yaml.safe_dump(content))
        return file

    def bootstrap(self) -> dict[str, Any]:
        """Make keys, certificates and kubeconfigs where they are missing."""
        nodes = self.kubelets.nodes
        config = self._write(
            "bootstrap.yaml",
            {
                "pki_dir": str(self.pki),
                "server": {"url": self.url, "sans": [self.address, "localhost"]},
                "context": "contract",
                "kubeconfigs": [
                    {"path": str(self.kubeconfig), "user": "kubernetes-admin", "groups": ["system:masters"]},
                    *(
                        {
                            "path": str(self.kubelets.kubeconfig(node)),
                            "user": f"system:node:{node}",
                            "groups": ["system:nodes"],
                        }
                        for node in nodes
                    ),
                ],
                "kubelet_certs": [
                    {"dir": str(self.kubelets.pki(node)), "node": node, "sans": [self.kubelets.address(node)]}
                    for node in nodes
                ],
            },
        )
        argv = [sys.executable, "-m", "mlsysops_embedded", "bootstrap", "--config", str(config)]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def start(self) -> float:
        """Start the process and wait until it is ready.

        Returns:
            Seconds from start to ready.
        """
        argv = [sys.executable, "-m", "mlsysops_embedded", "controlplane", "--config", str(self.config)]
        self.process = Process(argv, self.directory / "controlplane.log")
        return await_ready(self.process, self.url, self.authority[0])

    def start_kubelet(self, node: str, **more: Any) -> Process:
        """Start one of the kubelets, with further keys of its configuration."""
        return self.kubelets.start(node, **more)

    def kill(self) -> None:
        """SIGKILL the control plane."""
        assert self.process is not None
        self.process.kill()

    def stop(self) -> None:
        """End everything that was started."""
        self.kubelets.stop()
        if self.process is not None and self.process.running():
            code = self.process.stop()
            assert code == 0, f"SIGTERM ended it with {code}:\n{self.process.tail()}"
