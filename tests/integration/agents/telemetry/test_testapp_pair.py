"""The test application as real processes: messages arrive, a moved server is found, metrics reach a receiver."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable

import pytest
from mlsysops_agents.adapters.telemetry import OtlpReceiver, TelemetryStore

#: Addresses of this file alone.
FIRST, SECOND = "127.78.4.1", "127.78.4.2"


@contextlib.asynccontextmanager
async def process(command: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "mlsysops_testapp",
        "python",
        command,
        env=clean | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a condition of other processes
            await asyncio.sleep(0.02)


async def listening(server: asyncio.subprocess.Process) -> int:
    """The port, once the server says that it serves."""
    assert server.stdout is not None
    async with asyncio.timeout(20):
        while True:
            line = (await server.stdout.readline()).decode()
            assert line, "the server ended"
            if "serving on" in line:
                return int(line.split()[-1])


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[OtlpReceiver, TelemetryStore]]:
    store = TelemetryStore()
    async with OtlpReceiver(store, address="127.0.0.1", port=0) as running:
        yield running, store


def value(store: TelemetryStore, metric: str) -> float:
    sample = store.latest(metric)
    return sample.value if sample else -1.0


async def test_a_hundred_messages_arrive_and_are_counted(receiver: tuple[OtlpReceiver, TelemetryStore]) -> None:
    otlp, store = receiver
    endpoint = f"127.0.0.1:{otlp.port}"
    common = {"TELEMETRY_ENDPOINT": endpoint, "TCP_SERVER_PORT": "10000", "OTEL_RESOURCE_ATTRIBUTES": "a=b, c=d"}
    async with process(
        "TcpServer.py",
        **common,
        TCP_SERVER_IP="0.0.0.0",
        POD_IP=FIRST,
        OTEL_SERVICE_NAME="server-app",
        TEST_APP_RECEIVED_WINDOW="0.2",
    ) as server:
        assert await listening(server) == 10000
        async with process(
            "TcpClient.py",
            **common,
            TCP_SERVER_IP=FIRST,
            OTEL_SERVICE_NAME="client-app",
            TEST_APP_RATE="100",
            TEST_APP_SENT_WINDOW="0.5",
            TEST_APP_MESSAGES="100",
        ) as client:
            async with asyncio.timeout(20):
                output, _ = await client.communicate()
            assert client.returncode == 0
            assert b"all 100 messages acknowledged" in output
        await until(lambda: value(store, "test_received_counter") == 100)
        started = time.monotonic()
        server.send_signal(signal.SIGTERM)
        await server.wait()
        assert server.returncode == 0
        assert time.monotonic() - started < 1

    assert value(store, "test_sent_counter") == 100
    assert value(store, "test_received_lost_counter") == 0
    assert value(store, "test_received_duplicate_counter") == 0
    assert value(store, "test_received_corrupt_counter") == 0
    sent = store.latest("test_sent_success_counter", service_name="client-app")
    assert sent is not None
    assert sent.attributes["c"] == "d"
    assert sent.value <= 50


async def test_a_server_that_moves_is_followed_without_loss(receiver: tuple[OtlpReceiver, TelemetryStore]) -> None:
    """The service's address stays, as a VIP does; who answers there changes."""
    otlp, store = receiver
    server_environment = {
        "TELEMETRY_ENDPOINT": f"127.0.0.1:{otlp.port}",
        "TCP_SERVER_IP": SECOND,
        "TEST_APP_RECEIVED_WINDOW": "0.1",
    }
    client_environment = {
        "TELEMETRY_ENDPOINT": f"127.0.0.1:{otlp.port}",
        "TCP_SERVER_IP": "server-app",
        "SERVER_APP_SERVICE_HOST": SECOND,
        "SERVER_APP_SERVICE_PORT": "10000",
        "TEST_APP_RATE": "50",
        "TEST_APP_SENT_WINDOW": "0.2",
    }
    async with process("TcpClient.py", **client_environment) as client:
        async with process("TcpServer.py", **server_environment, OTEL_SERVICE_NAME="first") as first:
            await listening(first)
            await until(lambda: store.latest("test_received_counter", service_name="first") is not None)
            await until(lambda: value(store, "test_sent_success_counter") > 0)
            first.kill()
        await until(lambda: value(store, "test_sent_success_counter") == 0)
        async with process("TcpServer.py", **server_environment, OTEL_SERVICE_NAME="second") as second:
            await listening(second)
            await until(lambda: value(store, "test_sent_success_counter") == 10)
            client.send_signal(signal.SIGTERM)
            await client.wait()
        lost = store.latest("test_received_lost_counter", service_name="second")
    assert client.returncode == 0
    assert lost is not None
    assert lost.value == 0


@pytest.mark.parametrize(
    ("command", "environment", "code", "says"),
    [
        ("Other.py", {}, 2, b"usage:"),
        ("TcpClient.py", {}, 1, b"TCP_SERVER_IP"),
        ("TcpServer.py", {"TCP_SERVER_IP": "192.0.2.1"}, 1, b"error:"),
    ],
)
async def test_wrong_starts_end_with_one_line(
    command: str, environment: dict[str, str], code: int, says: bytes
) -> None:
    async with process(command, **environment) as running:
        async with asyncio.timeout(20):
            output, _ = await running.communicate()
        assert running.returncode == code
        assert says in output
        assert b"Traceback" not in output
