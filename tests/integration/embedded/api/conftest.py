"""A real control plane process on loopback, and clients for it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

_START_SECONDS = 20.0
ADDRESS = "127.88.0.10"


def free_port(address: str = ADDRESS) -> int:
    with socket.socket() as sock:
        sock.bind((address, 0))
        return int(sock.getsockname()[1])


def eventually(check: Callable[[], Any], seconds: float = 10.0) -> Any:
    """The first true value of a check; the last error or a failure where none comes in time."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if value := check():
                return value
            error: BaseException = AssertionError("the condition did not come true")
        except (AssertionError, httpx.TransportError, KeyError, IndexError) as exc:
            error = exc
        if time.monotonic() > deadline:
            raise error
        time.sleep(0.02)


@dataclass
class ControlPlane:
    """One control plane: its files, process and admin credentials."""

    directory: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"https://{ADDRESS}:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "admin.kubeconfig"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mlsysops_embedded", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def bootstrap(self) -> dict[str, Any]:
        users = {
            "admin": ("kubernetes-admin", ["system:masters"]),
            "joe": ("joe", ["team"]),
            "node": ("system:node:n1", ["system:nodes"]),
        }
        document = {
            "pki_dir": str(self.directory / "pki"),
            "server": {"url": self.url, "sans": [ADDRESS, "localhost"]},
            "context": "test",
            "kubeconfigs": [
                {"path": str(self.directory / f"{name}.kubeconfig"), "user": user, "groups": groups}
                for name, (user, groups) in users.items()
            ],
            "kubelet_certs": [{"dir": str(self.directory / "kubelet"), "node": "n1", "sans": [ADDRESS]}],
        }
        (self.directory / "bootstrap.yaml").write_text(yaml.safe_dump(document))
        result = self.run("bootstrap", "--config", str(self.directory / "bootstrap.yaml"))
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)  # type: ignore[no-any-return]

    def write_config(self, **more: Any) -> Path:
        path = self.directory / "controlplane.yaml"
        document = {
            "name": "test",
            "data_dir": str(self.directory / "data"),
            "listen": {"address": ADDRESS, "port": self.port},
            "pki_dir": str(self.directory / "pki"),
            "service_cidr": "127.88.136.0/21",
            **more,
        }
        path.write_text(yaml.safe_dump(document))
        return path

    def start(self) -> None:
        config = self.write_config()
        with (self.directory / "log").open("ab") as log:
            command = [sys.executable, "-m", "mlsysops_embedded", "controlplane", "--config", str(config)]
            self.process = subprocess.Popen(command, stderr=log, stdout=log)
        with self.client(None) as client:
            eventually(lambda: client.get("/readyz").status_code == 200, _START_SECONDS)

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        os.kill(self.process.pid, number)
        code = self.process.wait(20)
        self.process = None
        return code

    def _tls(self, user: str | None) -> Any:
        import base64
        import ssl

        context = ssl.create_default_context(cafile=str(self.directory / "pki/ca.crt"))
        if user is not None:
            entry = yaml.safe_load((self.directory / f"{user}.kubeconfig").read_text())["users"][0]["user"]
            pair = []
            for name in ("certificate", "key"):
                path = self.directory / f"{user}.{name}"
                path.write_bytes(base64.b64decode(entry[f"client-{name}-data"]))
                pair.append(str(path))
            context.load_cert_chain(*pair)
        return context

    def client(self, user: str | None = "admin", **more: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, verify=self._tls(user), timeout=20, **more)

    def async_client(self, user: str | None = "admin") -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
        return httpx.AsyncClient(base_url=self.url, verify=self._tls(user), timeout=20, limits=limits)


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A running control plane, shared: tests use namespaces of their own."""
    made = ControlPlane(tmp_path_factory.mktemp("plane"))
    assert made.bootstrap() == {"changed": True}
    made.start()
    yield made
    made.stop()


@pytest.fixture
def fresh_plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane of the test's own, bootstrapped but not started."""
    made = ControlPlane(tmp_path)
    made.bootstrap()
    yield made
    if made.process is not None:
        made.stop(signal.SIGKILL)


@pytest.fixture
def api(plane: ControlPlane) -> Iterator[httpx.Client]:
    """HTTP client with the administrator's certificate."""
    with plane.client() as client:
        yield client


@pytest.fixture
async def async_api(plane: ControlPlane) -> AsyncIterator[httpx.AsyncClient]:
    """The same, asynchronous."""
    async with plane.async_client() as client:
        yield client


@pytest.fixture
def namespace(api: httpx.Client) -> Iterator[str]:
    """A new namespace."""
    created = api.post("/api/v1/namespaces", json={"metadata": {"generateName": "t-"}})
    assert created.status_code == 201, created.text
    name = created.json()["metadata"]["name"]
    yield name
    api.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture(name="eventually")
def _eventually() -> Callable[..., Any]:
    """Waits for a condition."""
    return eventually
