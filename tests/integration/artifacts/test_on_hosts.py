"""The module that keeps released files on a host, run as Ansible runs it: its result is one clear line, in time."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from release_server import ReleaseServer, refusing_proxy

PLUGINS = Path(__file__).parents[3] / "mlsysops_cli/ansible_plugins"
DATA = bytes(range(256)) * 4096


def run(
    tmp_path: Path, artifacts: list[dict[str, Any]], *options: str, within: tuple[str, ...] = (), **parameters: Any
) -> dict[str, Any]:
    """Run the module on this machine with ``ansible``, perhaps within another command; return what it answered."""
    arguments = {"artifacts": artifacts, "pins": str(tmp_path / "pins.json"), **parameters}
    playbook = tmp_path / "play.json"
    play = [
        {
            "name": "Play",
            "hosts": "localhost",
            "gather_facts": False,
            "tasks": [{"name": "Keep", "mls_artifact": arguments}],
        }
    ]
    playbook.write_text(json.dumps(play), encoding="utf-8")
    program = str(Path(sys.executable).parent / "ansible-playbook")
    done = subprocess.run(
        [*within, program, "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}", *options, str(playbook)],
        env={
            "ANSIBLE_LIBRARY": str(PLUGINS / "modules"),
            "ANSIBLE_MODULE_UTILS": str(PLUGINS / "module_utils"),
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "HOME": str(tmp_path),
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
        },
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    text = done.stdout
    if "FAILED! =>" in text:
        answer: dict[str, Any] = json.JSONDecoder().raw_decode(text.partition("FAILED! => ")[2])[0]
        return answer
    assert done.returncode == 0, text + done.stderr
    return {"failed": False, "changed": "changed: [localhost]" in text}


def entry(server: ReleaseServer, tmp_path: Path, **more: Any) -> dict[str, Any]:
    return {
        "name": "k3s/v1/k3s", "path": str(tmp_path / "bin/k3s"), "mode": "0755", "member": "", "sha256": "",
        "sums_url": f"{server.url}/k3s/v1/sums.txt", "first_use": False, "url": f"{server.url}/k3s/v1/k3s", "carried": "",
        **more,
    }  # fmt: skip


def test_fetched_checked_and_kept(server: ReleaseServer, tmp_path: Path) -> None:
    digest = server.publish("k3s/v1/k3s", DATA, sums="sums.txt")
    wanted = [entry(server, tmp_path)]
    assert run(tmp_path, wanted, "--check") == {"failed": False, "changed": True}
    assert not (tmp_path / "bin").exists()
    assert run(tmp_path, wanted)["changed"]
    path = tmp_path / "bin/k3s"
    assert path.read_bytes() == DATA
    assert path.stat().st_mode & 0o777 == 0o755
    assert json.loads((tmp_path / "pins.json").read_text())["k3s/v1/k3s"]["sha256"] == digest
    server.asked.clear()
    assert not run(tmp_path, wanted)["changed"]
    assert server.asked == []
    path.write_bytes(b"something else")  # whoever did it: it is put right
    assert run(tmp_path, wanted)["changed"]
    assert path.read_bytes() == DATA
    assert run(tmp_path, wanted, state="absent")["changed"]
    assert not path.exists()


def test_a_member_of_an_archive(server: ReleaseServer, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in (("LICENSE", b"free"), ("karmadactl", b"#!/bin/sh\n")):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    digest = server.publish("k3s/v1/k3s", buffer.getvalue())
    wanted = [entry(server, tmp_path, sha256=digest, member="karmadactl")]
    assert run(tmp_path, wanted)["changed"]
    assert (tmp_path / "bin/k3s").read_bytes() == b"#!/bin/sh\n"
    assert [path.name for path in (tmp_path / "bin").iterdir()] == ["k3s"]
    assert not run(tmp_path, wanted)["changed"]


def test_a_carried_file_with_the_wrong_checksum_is_refused(server: ReleaseServer, tmp_path: Path) -> None:
    carried = tmp_path / "carried"
    carried.write_bytes(DATA[:-1])
    answer = run(tmp_path, [entry(server, tmp_path, carried=str(carried), sha256="0" * 64)])
    assert "carried has the wrong checksum" in answer["msg"]
    assert answer["mls_error"] == "invalid-input"
    assert not (tmp_path / "bin/k3s").exists()
    assert not carried.exists()


def test_what_nobody_vouches_for_is_not_taken(server: ReleaseServer, tmp_path: Path) -> None:
    server.publish("k3s/v1/k3s", DATA)
    answer = run(tmp_path, [entry(server, tmp_path, sums_url="")])
    assert "nothing is known to check it with" in answer["msg"]


def test_a_file_that_changed_since_its_first_use_is_refused(server: ReleaseServer, tmp_path: Path) -> None:
    server.publish("k3s/v1/k3s", DATA)
    wanted = [entry(server, tmp_path, sums_url="", first_use=True)]
    assert run(tmp_path, wanted)["changed"]
    (tmp_path / "bin/k3s").unlink()
    server.publish("k3s/v1/k3s", DATA[::-1])
    assert "has the wrong checksum" in run(tmp_path, wanted)["msg"]


@pytest.mark.parametrize(("fault", "said", "family"), [
    ("cut", "broke off after 0 of", "unreachable"),
    ("wrong", "has the wrong checksum", "invalid-input"),
    ("missing", "is not there (HTTP 404): check the version", "not-found"),
    ("broken", "HTTP 503", "unreachable"),
    ("hang", "was not fetched within 10 s", "timed-out"),
])  # fmt: skip
def test_one_clear_line_in_time(server: ReleaseServer, tmp_path: Path, fault: str, said: str, family: str) -> None:
    digest = server.publish("k3s/v1/k3s", DATA)
    server.faults["k3s"] = fault  # type: ignore[assignment]
    started = time.monotonic()
    answer = run(tmp_path, [entry(server, tmp_path, sha256=digest)], timeout=10)
    assert said in answer["msg"]
    assert "\n" not in answer["msg"]
    assert answer["msg"].startswith("k3s/v1/k3s: ")
    assert answer["mls_error"] == family
    assert time.monotonic() - started < 60
    assert not (tmp_path / "bin/k3s").exists()


def test_a_download_that_breaks_off_is_resumed(server: ReleaseServer, tmp_path: Path) -> None:
    digest = server.publish("k3s/v1/k3s", DATA)
    server.faults["k3s"] = "truncated"
    assert run(tmp_path, [entry(server, tmp_path, sha256=digest)])["changed"]
    assert (tmp_path / "bin/k3s").read_bytes() == DATA
    assert any(wanted.startswith("bytes=") for _, wanted in server.asked)


def test_a_proxy_that_refuses_is_named_without_its_password(server: ReleaseServer, tmp_path: Path) -> None:
    digest = server.publish("k3s/v1/k3s", DATA)
    with refusing_proxy() as proxy:
        secret = proxy.replace("http://", "http://me:hunter2@")
        wanted = [entry(server, tmp_path, sha256=digest)]
        answer = run(tmp_path, wanted, proxies={"http": secret, "https": "", "no": ""})
        for word in ("the proxy", "refuses", "mls_https_proxy"):
            assert word in answer["msg"]
        assert "hunter2" not in json.dumps(answer)
        assert run(tmp_path, wanted, proxies={"http": secret, "https": "", "no": "10.0.0.0/8,127.0.0.0/8"})["changed"]


def test_a_name_that_is_unknown_is_named(server: ReleaseServer, tmp_path: Path) -> None:
    wanted = [entry(server, tmp_path, sha256="0" * 64, url="http://releases.invalid/k3s")]
    answer = run(tmp_path, wanted)
    assert (
        "the name releases.invalid is unknown" in answer["msg"] or "the name service does not answer" in answer["msg"]
    )
    assert answer["mls_error"] == "unreachable"


#: Runs a command where the only name server hears every question and answers none: packets to it are dropped.
SILENCE = """
import os, socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
with open(sys.argv[1], "w") as file:
    file.write("nameserver 127.0.0.53\\n")
subprocess.run(["mount", "--bind", sys.argv[1], "/etc/resolv.conf"], check=True)
heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
heard.bind(("127.0.0.53", 53))
done = subprocess.run(sys.argv[2:])
heard.settimeout(1)
assert heard.recv(512), "nobody asked"
sys.exit(done.returncode)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="has a name server of its own in a network of its own")
@pytest.mark.skipif(not shutil.which("unshare"), reason="no unshare in PATH")
def test_a_name_server_that_never_answers_is_named_in_time(server: ReleaseServer, tmp_path: Path) -> None:
    names = tmp_path / "resolv.conf"
    within = ("unshare", "--net", "--mount", sys.executable, "-c", SILENCE, str(names))
    wanted = [entry(server, tmp_path, sha256="0" * 64, url="http://mirror.example/k3s")]
    started = time.monotonic()
    answer = run(tmp_path, wanted, within=within)
    assert time.monotonic() - started < 40  # fifteen seconds of silence, and Ansible's own
    assert answer["msg"].startswith("k3s/v1/k3s: the name service does not answer for the name mirror.example")
    assert "check /etc/resolv.conf" in answer["msg"]
    assert "\n" not in answer["msg"]
    assert answer["mls_error"] == "unreachable"
    assert not (tmp_path / "bin").exists() or not list((tmp_path / "bin").iterdir())
