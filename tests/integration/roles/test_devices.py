"""Whether a far-edge device answers: a CoAP endpoint, a machine without one, and an address where nothing is."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import ansible.module_utils
import pytest

import mlsysops_cli

ansible.module_utils.__path__.append(str(Path(mlsysops_cli.__file__).parent / "ansible_plugins" / "module_utils"))

from mlsysops_cli.ansible_plugins.modules import mls_devices  # noqa: E402 - found by the line above


def test_a_device_that_speaks_coap(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        device.bind(("127.0.0.1", 0))
        device.settimeout(10)
        monkeypatch.setattr(mls_devices, "COAP_PORT", device.getsockname()[1])
        asked: list[bytes] = []

        def serve() -> None:
            message, gateway = device.recvfrom(64)
            asked.append(message)
            device.sendto(b"\x70\x00" + message[2:4], gateway)  # RST of the same message id (RFC 7252, section 4.3)

        thread = threading.Thread(target=serve)
        thread.start()
        assert mls_devices.answers_at("127.0.0.1", 5)
        thread.join()
        assert asked[0][:2] == b"\x40\x00"
        assert len(asked[0]) == 4


def test_a_machine_without_coap_answers_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mls_devices, "COAP_PORT", 9)  # nobody listens on the discard port
    assert mls_devices.answers_at("127.0.0.1", 5)


def test_silence_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mls_devices, "_echo", lambda *_: False)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        monkeypatch.setattr(mls_devices, "COAP_PORT", silent.getsockname()[1])
        started = time.monotonic()
        assert not mls_devices.answers_at("127.0.0.1", 0.3)
        assert time.monotonic() - started < 5
