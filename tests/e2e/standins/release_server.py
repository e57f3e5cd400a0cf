"""A server of released files that can be made to misbehave, as real ones and what stands before them do.

It serves a directory whose paths are those of a mirror (``k3s/<version>/<file>``). What goes wrong is set by path.
"""

from __future__ import annotations

import hashlib
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

__all__ = ["Fault", "ReleaseServer", "refusing_proxy", "serving"]

#: ``truncated`` closes in the middle, each time a little further on; ``cut`` always closes at once after the headers;
#: ``wrong`` serves other bytes; ``missing`` is 404; ``hang`` sends headers and then nothing until the server stops.
Fault = Literal["truncated", "cut", "wrong", "missing", "hang", "broken"]


class ReleaseServer:
    """A running server.

    Attributes:
        root: The directory that is served.
        url: Base URL.
        faults: Fault by file name.
        asked: Method, path and ``Range`` of every request.
    """

    def __init__(self, root: Path, address: str) -> None:
        self.root = root
        self.faults: dict[str, Fault] = {}
        self.asked: list[tuple[str, str]] = []
        self.stopping = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                outer.answer(self)

        self._server = ThreadingHTTPServer((address, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{address}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def publish(self, name: str, data: bytes, *, sums: str = "") -> str:
        """Put a file there, and its checksum into a list beside it; return the checksum."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        if sums:
            with (path.parent / sums).open("a", encoding="ascii") as stream:
                stream.write(f"{digest}  {path.name}\n")
        return digest

    def stop(self) -> None:
        """End it."""
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a request, as well as it may."""
        self.asked.append((request.path, request.headers.get("Range", "")))
        path = self.root / urllib.parse.unquote(request.path).lstrip("/")
        fault = self.faults.get(path.name)
        if fault == "missing" or not path.is_file():
            request.send_error(404)
            return
        if fault == "broken":
            request.send_error(503)
            return
        data = path.read_bytes()
        if fault == "wrong":
            data = bytes(byte ^ 1 for byte in data)
        start = 0
        if wanted := request.headers.get("Range"):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{len(data)}")
                request.send_header("Content-Length", "0")
                request.end_headers()
                return
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(data) - start))
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        request.end_headers()
        body = data[start:]
        if fault == "hang":
            self.stopping.wait()
            body = b""
        elif fault == "cut":
            body = b""
        elif fault == "truncated":
            body = body[: max(1, len(data) // 2)]
        request.wfile.write(body)
        if len(body) < len(data) - start:
            request.close_connection = True


@contextmanager
def serving(root: Path, address: str = "127.0.0.1") -> Iterator[ReleaseServer]:
    """A server for a while."""
    server = ReleaseServer(root, address)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def refusing_proxy(address: str = "127.0.0.1") -> Iterator[str]:
    """A proxy that refuses whatever it is asked for; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_error(403, "Forbidden by policy")

        do_CONNECT = do_GET  # noqa: N815 - http.server looks for this name

    server = ThreadingHTTPServer((address, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://{address}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
