"""`mls` in this process, against the real API in this process, over a store in memory: no sockets."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlsysops_northbound.app import create_app
from mlsysops_northbound.config import Config
from typer.testing import CliRunner

from mlsysops_cli.client.http import Northbound
from mlsysops_cli.context import Api, ClusterAccess, Context, save_context
from mlsysops_cli.main import app as mls_app

_spec = importlib.util.spec_from_file_location(
    "northbound_conftest", Path(__file__).parent.parent / "northbound" / "conftest.py"
)
assert _spec is not None
assert _spec.loader is not None
_northbound = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_northbound)

GOLDEN = Path(__file__).parent.parent.parent / "golden" / "cli"


class InProcess(httpx.BaseTransport):
    """Hands the requests of a synchronous client to an ASGI application."""

    def __init__(self, app: Any) -> None:
        self._transport = httpx.ASGITransport(app=app)
        self.requests: list[httpx.Request] = []
        self.failures: list[Exception | httpx.Response] = []
        self.before: Callable[[httpx.Request], None] = lambda _: None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.before(request)
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        body = request.read()

        async def run() -> httpx.Response:
            copied = httpx.Request(request.method, request.url, headers=request.headers, content=body)
            answer = await self._transport.handle_async_request(copied)
            content = await answer.aread()
            return httpx.Response(answer.status_code, headers=answer.headers, content=content)

        return asyncio.run(run())


@dataclass
class Result:
    """What a run of `mls` gave."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines on stderr that tell errors."""
        return [line for line in self.err.splitlines() if line.startswith("error: ")]


@dataclass
class Mls:
    """Runs `mls`."""

    transport: InProcess
    store: Any
    directory: Path

    def __call__(self, *arguments: str, stdin: bytes | str | None = None) -> Result:
        result = CliRunner().invoke(mls_app, list(arguments), input=stdin, prog_name="mls")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    def file(self, name: str, content: str | bytes) -> str:
        """Write a file and return its path."""
        path = self.directory / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)


@pytest.fixture
def mls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mls]:
    """`mls` with a context for a slice whose API is in this process."""
    monkeypatch.setenv("MLS_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "dumb")
    token_file = tmp_path / "token"
    token_file.write_text(_northbound.TOKEN)
    token_file.chmod(0o600)
    store = _northbound.MemoryStore()
    config = Config(slice="local", kubeconfig=tmp_path / "k", token_file=token_file, state_dir=tmp_path / "state")
    api = create_app(config, store)
    transport = InProcess(api)
    save_context(
        Context(
            name="local",
            api=Api("http://127.20.0.10:8000", _northbound.TOKEN),
            kubeconfig="/home/me/slices/local/admin.kubeconfig",
            clusters={"cluster1": ClusterAccess("/home/me/slices/local/cluster1.kubeconfig")},
            slice_dir="/home/me/slices/local",
        )
    )
    factory = functools.partial(Northbound, transport=transport, sleep=lambda _: None)
    monkeypatch.setattr("mlsysops_cli.client.session.Northbound", factory)
    directory = tmp_path / "work"
    directory.mkdir()
    yield Mls(transport, store, directory)
    api.state.services.idempotency.close()


@pytest.fixture
def app_yaml() -> str:
    return str(_northbound.APP)


@pytest.fixture
def node_yaml() -> str:
    return str(_northbound.NODE)


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with a file below tests/golden/cli; UPDATE_GOLDEN=1 writes it."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / f"{name}.txt"
        text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
        if os.environ.get("UPDATE_GOLDEN"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert text == path.read_text(), f"{path} differs; UPDATE_GOLDEN=1 writes it anew"

    return compare
