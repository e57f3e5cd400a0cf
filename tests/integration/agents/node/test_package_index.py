"""Packages of plug-ins from an index over HTTP, and through a proxy, as an agent in a pod gets them: nobody in particular, without
a home, and with one directory to write to.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from mlsysops_agents.adapters.worker import PackageEnvironments, PackageSettings
from mlsysops_core.plugins import PluginError

WHEEL = "abacus_of_tests-1.0-py3-none-any.whl"
#: What a pod's user is: no account, and none of root's powers.
NOBODY = 65532
PROGRAM = """
import asyncio, json, sys
from pathlib import Path
from mlsysops_agents.adapters.worker import PackageEnvironments, PackageSettings
directory, index = Path(sys.argv[1]), sys.argv[2]
settings = PackageSettings(("*",), {}, None, 60.0, index=index)
place = asyncio.run(PackageEnvironments(directory, settings).prepare("policy", "p", ["abacus-of-tests==1.0"]))
print(json.dumps(sorted(path.name for path in place.iterdir())))
"""


def wheel() -> bytes:
    """A wheel as PEP 427 has it, of one module."""
    about = "abacus_of_tests-1.0.dist-info"
    files = {
        "abacus_of_tests.py": "def add(a, b):\n    return a + b\n",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: abacus_of_tests\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).decode().rstrip("=")
        record += f"{path},sha256={digest},{len(content)}\n"
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
        archive.writestr(f"{about}/RECORD", record + f"{about}/RECORD,,\n")
    return made.getvalue()


class Server(ThreadingHTTPServer):
    """A package index (PEP 503), which also serves as a proxy: it answers for every host that it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        files = {
            "/simple/abacus-of-tests/": f'<a href="/files/{WHEEL}">{WHEEL}</a>'.encode(),
            f"/files/{WHEEL}": wheel(),
        }
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                body = files.get(urlsplit(self.path).path)
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/zip")
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def environments(directory: Path, index: str, proxy: str | None = None) -> PackageEnvironments:
    return PackageEnvironments(directory, PackageSettings(("*",), {}, None, 60.0, index=index, proxy=proxy))


async def test_packages_come_from_the_index_that_is_configured(tmp_path: Path, server: Server) -> None:
    place = await environments(tmp_path / "p", f"{server.url}/simple").prepare("policy", "p", ["abacus-of-tests"])
    assert place is not None
    assert (place / "abacus_of_tests.py").is_file()
    assert server.asked[-1] == f"/files/{WHEEL}"


async def test_the_way_there_leads_through_the_proxy(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    index = "http://127.0.0.9:9/simple"  # nobody serves there, but pip believes no host that is neither near nor TLS
    place = await environments(tmp_path / "p", index, server.url).prepare("policy", "p", ["abacus-of-tests"])
    assert place is not None
    assert server.asked[0] == "http://127.0.0.9:9/simple/abacus-of-tests/"


async def test_an_index_that_does_not_have_it_or_is_not_there_is_told_in_one_line(
    tmp_path: Path, server: Server
) -> None:
    with pytest.raises(PluginError) as caught:
        await environments(tmp_path / "p", f"{server.url}/simple").prepare("policy", "p", ["none-such-of-tests"])
    assert "policy p: its packages cannot be installed: " in str(caught.value)
    assert "none-such-of-tests" in str(caught.value)
    server.shutdown()
    server.server_close()
    with pytest.raises(PluginError) as caught:
        async with asyncio.timeout(60):
            await environments(tmp_path / "p", f"{server.url}/simple").prepare("policy", "p", ["abacus-of-tests"])
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="becoming another user takes root and setpriv"
)
def test_a_user_without_account_home_and_powers_can_install(
    tmp_path_factory: pytest.TempPathFactory, server: Server
) -> None:
    own = tmp_path_factory.mktemp("pod")
    for name in ("tmp", "state"):
        (own / name).mkdir()
        os.chown(own / name, NOBODY, NOBODY)
    # It may read everything, since the Python of a test may be in somebody's home, but write nowhere else.
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    become += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search", "--no-new-privs"]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "TMPDIR": str(own / "tmp"),
        "PIP_NO_CACHE_DIR": "1",
    }
    program = [sys.executable, "-c", PROGRAM, str(own / "state" / "packages"), f"{server.url}/simple"]
    done = subprocess.run(
        [*become, *program], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "abacus_of_tests.py" in json.loads(done.stdout)
    assert (own / "state" / "packages").stat().st_uid == NOBODY

    program[3] = str(own / "packages")
    done = subprocess.run(
        [*become, *program], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert f"policy p: its packages cannot be installed: {own / 'packages'}: Permission denied" in done.stderr
