"""The configuration file of the northbound API, and the token file it names."""

from __future__ import annotations

import ipaddress
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mlsysops_core.errors import Fault, InvalidInput
from mlsysops_core.yaml import load_yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

__all__ = ["Config", "Listen", "Tls", "TokenFile", "load_config"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Listen(_Strict):
    """Where the API listens."""

    address: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535, description="0 for one that is free.")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.address == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.address).is_loopback
        except ValueError:
            return False


class Tls(_Strict):
    """Certificate and key of the server, PEM."""

    cert: Path
    key: Path


class Config(_Strict):
    """The configuration of the northbound API.

    Attributes:
        slice: Name of the slice.
        listen: Address and port.
        kubeconfig: Of the continuum's API.
        namespace: Where applications live.
        framework_namespace: Where our own parts live.
        token_file: Holds the bearer token, mode 0600; read again when it changes.
        tls: Needed wherever `listen` is not loopback.
        state_dir: For what must survive a restart.
        max_body: Largest request body, bytes.
        timeout: Longest time a request may take, seconds.
        uri_hosts: Hosts from which ``{"uri": …}`` bodies may be fetched (``name`` or ``name:port``); none by default,
            so that the API cannot be made to call services that only its host can reach.
    """

    slice: str = Field(min_length=1)
    listen: Listen = Listen()
    kubeconfig: Path
    namespace: str = "mlsysops"
    framework_namespace: str = "mlsysops-framework"
    token_file: Path
    tls: Tls | None = None
    state_dir: Path
    max_body: int = Field(default=4 * 1024 * 1024, gt=0)
    timeout: float = Field(default=30.0, gt=0)
    uri_hosts: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _guard(self) -> Self:
        if self.tls is None and not self.listen.loopback:
            raise ValueError(f"listen.address {self.listen.address} is not loopback: set tls.cert and tls.key")
        return self


def load_config(path: Path) -> Config:
    """Read the configuration file.

    Raises:
        InvalidInput: It is missing, is no YAML, or does not validate; every fault with its place.
    """
    try:
        document = load_yaml(path.read_bytes(), str(path))
    except OSError as exc:
        raise InvalidInput(f"{path}: {exc.strerror}", hint="name the configuration file with --config") from exc
    try:
        return Config.model_validate(document.value)
    except ValidationError as exc:
        faults = []
        for error in exc.errors(include_url=False):
            place = tuple(error["loc"])
            line, column = document.locate(place, key=True)
            name = ".".join(str(part) for part in place)
            faults.append(Fault(str(path), line, column, name, error["msg"].removeprefix("Value error, ")))
        raise InvalidInput(faults=faults) from exc


def _others_may_read(status: os.stat_result) -> bool:
    """Whether other users can read a file.

    In a volume that Kubernetes makes of a Secret files are root's, and readable by the pod's own group (``fsGroup``), which
    whoever its programs run as is in.
    """
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid == 0 and status.st_gid in {os.getegid(), *os.getgroups()}:
        mode &= ~0o040
    return bool(mode & 0o077)


@dataclass(slots=True)
class TokenFile:
    """The bearer token, read again whenever its file changes.

    Attributes:
        path: A file of mode 0600 that holds nothing but the token.
    """

    path: Path
    _stamp: tuple[int, int, int] = (0, 0, 0)
    _token: bytes = b""

    def read(self) -> bytes:
        """Return the token.

        Raises:
            InvalidInput: There is no token, or other users can read the file.
        """
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            if stamp == self._stamp:
                return self._token
            if _others_may_read(status):
                mode = stat.S_IMODE(status.st_mode)
                raise InvalidInput(f"{self.path}: mode {mode:04o} lets other users read the token", hint="chmod 600")
            token = self.path.read_bytes().strip()
        except OSError as exc:
            raise InvalidInput(f"{self.path}: {os.strerror(exc.errno or 0)}", hint="it must hold the token") from exc
        if len(token) < 16:
            raise InvalidInput(f"{self.path}: the token is shorter than 16 characters", hint="make a longer one")
        self._stamp, self._token = stamp, token
        return token
