"""Opens the session that a command needs, from the run's settings."""

from __future__ import annotations

from mlsysops_core.errors import NotFound

from mlsysops_cli.client.address import resolve
from mlsysops_cli.client.http import Northbound
from mlsysops_cli.context import Context
from mlsysops_cli.settings import Settings

__all__ = ["connect"]


def connect(settings: Settings, *, timeout: float = 30.0) -> Northbound:
    """Return a session with the API of the context in use.

    Args:
        settings: Global options of the run.
        timeout: Longest wait for one answer, seconds.

    Raises:
        NotFound: There is no context, and the environment gives no address.
    """
    context: Context | None = None
    missing: NotFound | None = None
    try:
        context = settings.load_context()
    except NotFound as exc:
        if settings.context:  # asked for by name: an address in the environment does not stand in for it
            raise
        missing = exc
    return Northbound(resolve(context, missing), timeout=timeout, log=lambda line: settings.note(line, level=1))
