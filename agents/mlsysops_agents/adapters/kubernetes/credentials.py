"""A kubeconfig whose token may be replaced while an agent runs."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_kube_config
from yaml import YAMLError

__all__ = ["KubeconfigFile"]

_log = logging.getLogger(__name__)


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
            await load_kube_config(config_file=str(self._path), client_configuration=fresh, persist_config=False)
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
