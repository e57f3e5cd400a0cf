"""A real control plane and a real northbound API, each its own process on loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

#: A part of 127/8 that no slice and no other test uses.
ADDRESS = "127.122.0.1"
TOKEN = "integration-token-0123456789"
CRDS = Path(__file__).parents[3] / "templates" / "crds"


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool], what: str, timeout: float = 30.0) -> None:
    """Poll until a condition holds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {timeout:g} s"
        time.sleep(0.05)


@dataclass
class Process:
    """A program in the background; its output goes to a file."""

    argv: list[str]
    log: Path
    popen: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        # MLS_SUPERVISED: it ends with the test run, however that ends.
        environment = {**os.environ, "MLS_SUPERVISED": "1"}
        with self.log.open("ab") as output:
            self.popen = subprocess.Popen(self.argv, stdout=output, stderr=output, env=environment)

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.popen is not None
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        return self.popen.wait(10)

    def running(self) -> bool:
        return self.popen is not None and self.popen.poll() is None


class Slice:
    """One control plane with our CRDs, and the northbound API before it."""

    free_port = staticmethod(free_port)
    wait_for = staticmethod(wait_for)

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.kube_port, self.port = free_port(), free_port()
        self.url = f"http://{ADDRESS}:{self.port}"
        self.kubeconfig = directory / "admin.kubeconfig"
        pki = directory / "pki"
        bootstrap = {
            "pki_dir": str(pki),
            "server": {"url": f"https://{ADDRESS}:{self.kube_port}", "sans": [ADDRESS, "localhost"]},
            "context": "test",
            "kubeconfigs": [{"path": str(self.kubeconfig), "user": "kubernetes-admin", "groups": ["system:masters"]}],
        }
        plane = {
            "name": "continuum",
            "data_dir": str(directory / "data"),
            "listen": {"address": ADDRESS, "port": self.kube_port},
            "pki_dir": str(pki),
        }
        (directory / "token").write_text(TOKEN)
        (directory / "token").chmod(0o600)
        north = {
            "slice": "test",
            "listen": {"address": ADDRESS, "port": self.port},
            "kubeconfig": str(self.kubeconfig),
            "namespace": "mlsysops",
            "framework_namespace": "mlsysops-framework",
            "token_file": str(directory / "token"),
            "tls": None,
            "state_dir": str(directory / "state"),
        }
        files = {"bootstrap": bootstrap, "plane": plane, "north": north}
        for name, value in files.items():
            (directory / f"{name}.yaml").write_text(yaml.safe_dump(value))
        python = sys.executable
        subprocess.run(
            [python, "-m", "mlsysops_embedded", "bootstrap", "--config", str(directory / "bootstrap.yaml")],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        self.plane = Process(
            [python, "-m", "mlsysops_embedded", "controlplane", "--config", str(directory / "plane.yaml")],
            directory / "plane.log",
        )
        self.north = Process(
            [python, "-m", "mlsysops_northbound", "--config", str(directory / "north.yaml")], directory / "north.log"
        )
        self.client = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False)
        self.kube = self._kube_client()

    def _kube_client(self) -> httpx.Client:
        import base64
        import ssl

        config = yaml.safe_load(self.kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        pair = self.directory / "client.pem"
        pair.touch(0o600)
        pair.write_bytes(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        context.load_cert_chain(pair)
        return httpx.Client(base_url=cluster["server"], verify=context, trust_env=False)

    def answers(self, path: str = "/readyz") -> bool:
        """Whether the northbound API says 200."""
        try:
            return self.client.get(path).status_code == 200
        except httpx.TransportError:
            return False

    def wait_until_ready(self) -> None:
        """Return when the northbound API and what it stands on answer."""
        wait_for(self.answers, "the northbound API")

    def kube_ready(self) -> bool:
        """Whether the control plane says 200."""
        assert self.plane.running(), self.plane.log.read_text()[-3000:]
        try:
            return self.kube.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def install(self) -> None:
        """Create the namespaces and our CRDs."""
        for name in ("mlsysops", "mlsysops-framework"):
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            self.kube.post("/api/v1/namespaces", json=namespace).raise_for_status()
        for file in sorted(CRDS.glob("*.yaml")):
            answer = self.kube.post(
                "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=yaml.safe_load(file.read_text())
            )
            assert answer.is_success, answer.text
        path = "/apis/mlsysops.eu/v1/namespaces/mlsysops/mlsysopsapps"
        wait_for(lambda: self.kube.get(path).status_code == 200, "the CRD of applications")

    def set_status(self, name: str, status: dict[str, Any]) -> None:
        """Write an application's status as its agents would."""
        path = f"/apis/mlsysops.eu/v1/namespaces/mlsysops/mlsysopsapps/{name}/status"
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = self.kube.patch(path, content=json.dumps({"status": status}), headers=headers)
        assert answer.is_success, answer.text


@pytest.fixture(scope="module")
def slice_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slice]:
    found = Slice(tmp_path_factory.mktemp("slice"))
    with ExitStack() as stack:
        stack.callback(found.client.close)
        stack.callback(found.kube.close)
        found.plane.start()
        stack.callback(found.plane.stop)
        wait_for(found.kube_ready, "the control plane")
        found.install()
        found.north.start()
        stack.callback(found.north.stop)
        found.wait_until_ready()
        yield found


@pytest.fixture
def mls(slice_: Slice, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the installed `mls` against the slice."""
    contexts = tmp_path / "config" / "contexts"
    contexts.mkdir(parents=True)
    context = {"name": "test", "api": {"url": slice_.url, "token": TOKEN, "ca_file": None}}
    (contexts / "test.json").write_text(json.dumps(context))

    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "MLS_CONFIG": str(tmp_path / "config")}
        command = [sys.executable, "-m", "mlsysops_cli", *arguments]
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=60, check=False, env=environment
        )

    return run
