"""A server that is busy says so and when to come again: requests that may be sent twice are, and the others are not."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from mlsysops_cli.ansible_plugins.module_utils import mls_kubernetes
from mlsysops_cli.ansible_plugins.module_utils.mls_kubernetes import Api, ApiError

ADDRESS = "127.121.0.2"


class Busy(ThreadingHTTPServer):
    """Refuses the first requests of each method as API priority and fairness does, or for ever."""

    def __init__(self, times: int, pause: str) -> None:
        super().__init__((ADDRESS, 0), _Handler)
        self.times, self.pause = times, pause
        self.seen: Counter[str] = Counter()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: Busy

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen[self.command] += 1
        busy = self.server.seen[self.command] <= self.server.times
        body = {"kind": "Status", "message": "too many requests, please try again later"} if busy else {"kind": "X"}
        data = json.dumps(body).encode()
        self.send_response(429 if busy else 200)
        if busy:
            self.send_header("Retry-After", self.server.pause)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PATCH = do_DELETE = do_POST = _answer  # noqa: N815 - names that http.server looks for

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def servers() -> Iterator[list[Busy]]:
    made: list[Busy] = []
    yield made
    for server in made:
        server.shutdown()
        server.server_close()


def client(servers: list[Busy], directory: Path, times: int, pause: str = "0") -> tuple[Busy, Api]:
    """A server, and access to it."""
    server = Busy(times, pause)
    servers.append(server)
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://{ADDRESS}:{server.server_port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    path = directory / "config"
    path.write_text(yaml.safe_dump(document))
    return server, Api(str(path), retries=0)


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_it_is_asked_again(servers: list[Busy], tmp_path: Path, method: str) -> None:
    server, api = client(servers, tmp_path, 3)
    assert api.request(method, "/x", body={}) == {"kind": "X"}
    assert server.seen[method] == 4


def test_what_may_not_be_done_twice_is_not(servers: list[Busy], tmp_path: Path) -> None:
    server, api = client(servers, tmp_path, 3)
    with pytest.raises(ApiError, match="too many requests") as caught:
        api.request("POST", "/x", body={})
    assert caught.value.code == 429
    assert server.seen["POST"] == 1


def test_patience_ends_and_tells_what_the_server_said(
    servers: list[Busy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mls_kubernetes, "_LONGEST_PAUSE", 0.01)
    server, api = client(servers, tmp_path, 1000, pause="86400")
    with pytest.raises(ApiError, match="too many requests, please try again later"):
        api.request("PATCH", "/x", body={})
    assert server.seen["PATCH"] == 11
