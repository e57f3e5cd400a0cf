"""What an inventory says of hosts' own settings and of where telemetry goes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["HostSettings", "TelemetryExport"]


class HostSettings(BaseModel):
    """Settings of a host that a slice needs beyond what it is.

    Attributes:
        sysctl: Kernel parameters and their least values.
        packages: Debian packages.
        time_sync: Whether the clock is to be kept by NTP.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sysctl: dict[str, str] = Field(default_factory=dict)
    packages: tuple[str, ...] = ()
    time_sync: bool = True


class TelemetryExport(BaseModel):
    """A collector of the user's.

    Attributes:
        endpoint: Base URL of its OTLP/HTTP receiver; empty where there is none.
        headers: Whether it wants HTTP headers (``mls_otlp_headers``), which are secret and known only while a play runs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str = ""
    headers: bool = False
