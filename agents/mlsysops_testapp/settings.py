"""Settings of the test application, from the environment that a container gets."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

__all__ = ["Settings", "SettingsError"]

#: Where a pod finds its own address: what people usually call the variable, and what the embedded kubelet sets.
_OWN_ADDRESS = ("POD_IP", "podIP", "EMBEDDED_POD_IP")
_DEFAULT_TELEMETRY_PORT = 4318  # OTLP/HTTP


class SettingsError(Exception):
    """An environment variable has a value that means nothing."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one process.

    Attributes:
        server: Server: address to bind; client: name or address to connect to (``TCP_SERVER_IP``).
        port: The server's port (``TCP_SERVER_PORT``).
        telemetry: Host and port that take OTLP/HTTP, or None (``TELEMETRY_ENDPOINT``, ``host:port`` or a URL).
        resource: Who speaks (``OTEL_SERVICE_NAME``, ``OTEL_RESOURCE_ATTRIBUTES``, and the pod's name where known).
        rate: Messages a second (``TEST_APP_RATE``).
        sent_window: Seconds over which a client counts (``TEST_APP_SENT_WINDOW``).
        received_window: Seconds over which a server counts (``TEST_APP_RECEIVED_WINDOW``).
        messages: Acknowledged messages after which a client ends by itself; 0 is never (``TEST_APP_MESSAGES``).
        environment: All of the environment, for service variables.
        client_id: What tells this client's sequence from others'.
    """

    server: str
    port: int = 10000
    telemetry: tuple[str, int] | None = None
    resource: Mapping[str, str] = field(default_factory=dict)
    rate: float = 6.0
    sent_window: float = 5.0
    received_window: float = 3.0
    messages: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    client_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def read(cls, environment: Mapping[str, str], *, role: str) -> Settings:
        """Settings from environment variables.

        Args:
            environment: The variables.
            role: ``server`` or ``client``; names the service where nobody else does.

        Raises:
            SettingsError: A variable makes no sense; the message names it.
        """
        return cls(
            server=_server(environment, role),
            port=int(_number(environment, "TCP_SERVER_PORT", 10000, 1, 65535)),
            telemetry=_endpoint(environment.get("TELEMETRY_ENDPOINT", "")),
            resource=_resource(environment, role),
            rate=_number(environment, "TEST_APP_RATE", 6.0, 0.01, 10000),
            sent_window=_number(environment, "TEST_APP_SENT_WINDOW", 5.0, 0.05, 3600),
            received_window=_number(environment, "TEST_APP_RECEIVED_WINDOW", 3.0, 0.05, 3600),
            messages=int(_number(environment, "TEST_APP_MESSAGES", 0, 0, 1e12)),
            environment=dict(environment),
        )


def _server(environment: Mapping[str, str], role: str) -> str:
    server = environment.get("TCP_SERVER_IP", "").strip()
    if role == "server":
        # A pod that is a local process shares the machine's addresses: "all of them" must mean its own one, or two
        # pods could not use the same port.
        own = next((environment[name].strip() for name in _OWN_ADDRESS if environment.get(name, "").strip()), "")
        return own if own and server in {"", "0.0.0.0", "::"} else server or "0.0.0.0"
    if not server:
        raise SettingsError("TCP_SERVER_IP: a client needs the server's name or address")
    return server


def _number(environment: Mapping[str, str], name: str, default: float, least: float, most: float) -> float:
    text = environment.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        raise SettingsError(f"{name}: {text!r} is no number") from None
    if not least <= value <= most:
        raise SettingsError(f"{name}: {text} is not between {least:g} and {most:g}")
    return value


def _endpoint(text: str) -> tuple[str, int] | None:
    text = text.strip()
    if not text:
        return None
    try:
        parts = urlsplit(text if "//" in text else f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or "$(" in text:
        raise SettingsError(f"TELEMETRY_ENDPOINT: {text!r} is not host:port")
    return host, port or _DEFAULT_TELEMETRY_PORT


def _resource(environment: Mapping[str, str], role: str) -> dict[str, str]:
    """Resource attributes (OpenTelemetry SDK specification, "Specifying resource information via an environment variable")."""
    found: dict[str, str] = {}
    for pair in environment.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, separator, value = pair.partition("=")
        if separator and key.strip():
            found[key.strip()] = value.strip()
    if environment.get("OTEL_SERVICE_NAME"):
        found["service.name"] = environment["OTEL_SERVICE_NAME"]
    found.setdefault("service.name", f"test-{role}")
    in_pod = "KUBERNETES_SERVICE_HOST" in environment or "EMBEDDED_POD_IP" in environment
    pod = environment.get("POD_NAME") or (environment.get("HOSTNAME") if in_pod else None)
    if pod:
        found.setdefault("k8s.pod.name", pod)
    return found
