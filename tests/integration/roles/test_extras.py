"""A local slice with a far-edge device and a collector: what the roles for them do, in check mode, twice, and back."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

TOKEN = "of-the-collector-and-secret"


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes OTLP/HTTP with the right token."""

    metrics: set[str]
    paths: set[str]

    def do_POST(self) -> None:
        import gzip

        body = self.rfile.read(int(self.headers["Content-Length"]))
        good = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if good:
            type(self).paths.add(self.path)
        if good and self.path == "/v1/metrics":
            request = ExportMetricsServiceRequest.FromString(gzip.decompress(body))
            for group in request.resource_metrics:
                type(self).metrics.update(metric.name for scope in group.scope_metrics for metric in scope.metrics)
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[tuple[str, type[Collector]]]:
    handler = type("Handler", (Collector,), {"metrics": set(), "paths": set()})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    thread.join()
    server.server_close()


class Person:
    """Someone with a slice of their own, a vaulted token in its inventory."""

    def __init__(self, home: Path, repository: Path, endpoint: str) -> None:
        self.home = home
        self.name = f"extras{os.getpid()}"
        self.environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        self.password = home / "vault-password"
        self.password.write_text("open sesame\n")
        vaulted = self.program(
            "ansible-vault", "encrypt_string", "--vault-password-file", str(self.password), f"Bearer {TOKEN}"
        )
        document = yaml.safe_load((repository / "inventories/local.yml").read_text())
        document["all"]["vars"] |= {"mls_slice": self.name, "mls_otlp_endpoint": endpoint, "mls_otlp_headers": "@"}
        document["all"]["children"]["far_edge"] = {
            "hosts": {"sensor1": {"ansible_host": "127.0.0.1", "mls_gateway": "worker1"}}
        }
        text = yaml.safe_dump(document, sort_keys=False)
        indented = vaulted.replace("\n", "\n        ").rstrip()
        self.inventory = home / "inventory.yml"
        self.inventory.write_text(
            text.replace("mls_otlp_headers: '@'", f"mls_otlp_headers:\n      Authorization: {indented}")
        )

    def program(self, name: str, *arguments: str, code: int = 0) -> str:
        argv = [str(Path(sys.executable).parent / name), *arguments]
        done = subprocess.run(
            argv, env=self.environment, cwd=self.home, capture_output=True, text=True, timeout=280, check=False
        )
        assert done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr[-3000:]}"
        return done.stdout

    def deploy(self, *options: str) -> Any:
        vault = ("--vault-password-file", str(self.password))
        return json.loads(
            self.program(
                "mls", "framework", "deploy-all", "-q", "-i", str(self.inventory), "-o", "json", *vault, *options
            )
        )

    def slice_files(self) -> list[Path]:
        root = self.home / ".local/share/mlsysops/slices"
        return [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]


@pytest.fixture
def person(tmp_path: Path, repository: Path, collector: tuple[str, type[Collector]]) -> Iterator[Person]:
    made = Person(tmp_path, repository, collector[0])
    yield made
    if made.slice_files():
        made.program("mls", "framework", "destroy-all", "--yes")


def until(what: str, condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.2)


@pytest.mark.timeout(600)  # four runs of Ansible
def test_devices_and_collector_in_check_mode_twice_and_back(
    person: Person, collector: tuple[str, type[Collector]]
) -> None:
    checked = person.deploy("--check")
    assert checked["changed"] > 0
    assert person.slice_files() == []
    first = person.deploy()
    assert person.deploy()["changed"] == 0

    # The device is a node of the cluster of which nothing is known but where it is.
    kubeconfig = first["kubeconfigs"]["cluster1"]
    found = subprocess.run(
        ["kubectl", "--kubeconfig", kubeconfig, "-n", "mlsysops", "get", "mlsnode", "sensor1", "-o", "json"],
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    device = json.loads(found.stdout)
    assert device["spec"]["continuum_layer"] == "far_edge"
    (ready,) = [one for one in device["status"]["conditions"] if one["type"] == "Ready"]
    assert (ready["status"], ready["reason"]) == ("Unknown", "NoRuntime")
    assert "behind worker1 at 127.0.0.1, where it answers" in ready["message"]
    (told,) = [path for path in person.slice_files() if path.name == "far-edge.json"]
    assert json.loads(told.read_text()) == {"devices": [{"address": "127.0.0.1", "name": "sensor1"}]}

    # What the collector wants to hear is in a private file, and nowhere else.
    _, handler = collector
    until("metrics of hosts at the collector", lambda: any("cpu" in name for name in handler.metrics))
    # Something to decide about: where a component goes.
    person.program("mls", "framework", "create-app-test-description", "--file", "app.yaml")
    person.program("mls", "apps", "deploy-app", "--path", "app.yaml")
    until("traces of decisions at the collector", lambda: "/v1/traces" in handler.paths)
    private = {path for path in person.slice_files() if path.name == "otlp-headers"}
    assert len(private) == 4
    for path in person.slice_files():
        if TOKEN.encode() in path.read_bytes():
            assert path in private
            assert path.stat().st_mode & 0o777 == 0o600

    person.program("mls", "framework", "destroy-all", "--yes")
    assert person.slice_files() == []
