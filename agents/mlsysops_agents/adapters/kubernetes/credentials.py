"""Reading a kubeconfig, which is bounded in time, and whose token may be replaced while an agent runs."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_kube_config
from yaml import YAMLError

__all__ = ["KubeconfigFile", "read_kubeconfig"]

_log = logging.getLogger(__name__)

#: Seconds that a kubeconfig's program for credentials gets; those of cloud providers take a few.
_SECONDS = 30.0


async def read_kubeconfig(path: Path, configuration: Configuration, *, scratch: Path | None = None) -> None:
    """Read a kubeconfig's current context.

    Args:
        path: The file.
        configuration: Is filled.
        scratch: Where certificates embedded in it are unpacked; the system's temporary directory where None.

    Raises:
        ConfigException: It is none, or its program for credentials does not come to an end.
    """
    try:
        async with asyncio.timeout(_SECONDS):
            await load_kube_config(
                config_file=str(path),
                client_configuration=configuration,
                persist_config=False,
                temp_file_path=str(scratch) if scratch else None,
            )
    except TimeoutError as exc:
        raise ConfigException(
            f"its program for credentials gave none within {_SECONDS:g} s; run it by hand once"
        ) from exc


class KubeconfigFile:
    """A kubeconfig, read again where it was written anew.

    Args:
        path: The file; it was just read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp(path)

    async def changed(self) -> Configuration | None:
        """What the file says now; None where it is what was read last, or cannot be used."""
        stamp = await asyncio.to_thread(_stamp, self._path)
        if stamp in (None, self._stamp):
            return None
        self._stamp = stamp
        fresh = Configuration()
        try:
            await read_kubeconfig(self._path, fresh)
        except (ConfigException, YAMLError, OSError, ValueError, TypeError) as exc:
            _log.warning("%s was written anew and cannot be used: %s", self._path, " ".join(str(exc).split()))
            return None
        _log.info("credentials of %s changed", self._path)
        return fresh


def _stamp(path: Path) -> tuple[int, int] | None:
    """What tells one version of a file from another; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
