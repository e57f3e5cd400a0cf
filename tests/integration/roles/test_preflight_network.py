"""Name servers and proxies that answer, refuse, hang or are not there: real sockets on loopback, and every look bounded."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ansible.module_utils
import pytest

import mlsysops_cli

ansible.module_utils.__path__.append(str(Path(mlsysops_cli.__file__).parent / "ansible_plugins" / "module_utils"))

from ansible.module_utils import mls_network  # noqa: E402 - found by the line above

Answer = Callable[[bytes], bytes]


@pytest.fixture
def name_server() -> Iterator[Callable[[Answer | None], int]]:
    """Start a name server that answers each question with what a function makes of it; None never answers."""
    sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(answer: Answer | None) -> int:
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        sockets.append(server)

        def serve() -> None:
            question, client = server.recvfrom(4096)
            server.sendto(answer(question) if answer else b"", client)

        if answer is not None:
            threads.append(threading.Thread(target=serve))
            threads[-1].start()
        return int(server.getsockname()[1])

    yield start
    for thread in threads:
        thread.join()
    for server in sockets:
        server.close()


def refused(question: bytes) -> bytes:
    """An answer with the code REFUSED (RFC 1035, section 4.1.1)."""
    return question[:2] + b"\x81\x05" + question[4:]


def test_any_answer_will_do(name_server: Callable[[Answer | None], int]) -> None:
    assert mls_network.check_dns(["127.0.0.1"], 5, name_server(refused)) == []


def test_silence_and_closed_ports_are_found_in_time(name_server: Callable[[Answer | None], int]) -> None:
    started = time.monotonic()
    (found,) = mls_network.check_dns(["127.0.0.1"], 0.5, name_server(None))
    assert time.monotonic() - started < 5
    assert (found["level"], found["family"]) == ("fault", "timed-out")
    assert "name server 127.0.0.1 does not answer within" in found["found"]
    (closed,) = mls_network.check_dns(["127.0.0.1"], 5, 9)  # nobody listens on the discard port
    assert closed["level"] == "fault"


def test_one_of_two_that_answers_makes_it_a_warning(name_server: Callable[[Answer | None], int]) -> None:
    port = name_server(refused)
    (found,) = mls_network.check_dns(["127.0.0.1", "127.0.0.2"], 1, port)
    assert (found["level"], "127.0.0.2" in found["found"]) == ("warning", True)


def test_no_name_server_is_no_fault() -> None:
    assert mls_network.check_dns([]) == []


@pytest.fixture
def proxy() -> Iterator[Callable[[bytes], tuple[str, list[bytes]]]]:
    """Start a proxy that answers with a text (nothing: never); return its URL and what it was asked."""
    sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(answer: bytes) -> tuple[str, list[bytes]]:
        server = socket.create_server(("127.0.0.1", 0))
        sockets.append(server)
        asked: list[bytes] = []

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.settimeout(10)
                asked.append(client.recv(4096))
                if answer:
                    client.sendall(answer)
                else:
                    client.recv(1)  # until the other side gives up

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return f"http://somebody:hidden%20word@127.0.0.1:{server.getsockname()[1]}", asked

    yield start
    for thread in threads:
        thread.join()
    for server in sockets:
        server.close()


def test_a_proxy_that_opens_a_tunnel(proxy: Callable[[bytes], tuple[str, list[bytes]]]) -> None:
    url, asked = proxy(b"HTTP/1.1 200 Connection established\r\n\r\n")
    assert mls_network.check_proxy(url, "example.com:443") == []
    assert asked[0].startswith(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n")
    assert base64.b64encode(b"somebody:hidden word") in asked[0]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "refuses example.com:443: 403 Forbidden"),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407 Proxy Authentication Required"),
        (b"SSH-2.0-OpenSSH\r\n", "no HTTP answer"),
        (b"", "does not answer within"),
    ],
)
def test_a_proxy_that_does_not(proxy: Callable[[bytes], tuple[str, list[bytes]]], answer: bytes, text: str) -> None:
    url, _ = proxy(answer)
    started = time.monotonic()
    (found,) = mls_network.check_proxy(url, "example.com:443", 1)
    assert time.monotonic() - started < 8
    assert text in found["found"]
    assert "hidden" not in str(found)
    assert "mls_http_proxy" in found["fix"]


def test_a_proxy_that_is_not_there() -> None:
    (found,) = mls_network.check_proxy("http://127.0.0.1:9")
    assert "proxy 127.0.0.1:9: Connection refused" in found["found"]
    assert mls_network.check_proxy("http://:99999")[0]["found"] == "the proxy is no URL"
