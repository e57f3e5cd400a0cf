"""Where a command's input comes from: a file, standard input, or an address."""

from __future__ import annotations

import sys
from pathlib import Path

from mlsysops_core.errors import Fault, InvalidInput, Unreachable, UsageError

from mlsysops_cli.settings import Settings

__all__ = ["MAX_BYTES", "read_source"]

#: Far above any description, far below what hurts; the loader has limits of its own.
MAX_BYTES = 4 * 1024 * 1024


def read_source(path: str | None, uri: str | None, settings: Settings, *, option: str = "--path") -> tuple[bytes, str]:
    """Read what ``--path`` or ``--uri`` names.

    Args:
        path: File; ``-`` for standard input.
        uri: ``http(s)://`` or ``file://`` address.
        settings: For notes.
        option: What the command calls ``--path``.

    Returns:
        The bytes, and the name that faults carry.

    Raises:
        UsageError: Neither or both are given.
        InvalidInput: It cannot be read, or is too large.
        Unreachable: The address does not answer.
    """
    if bool(path) == bool(uri):
        raise UsageError("give either --path FILE or --uri ADDRESS", hint="--path - reads standard input")
    if uri:
        if uri.startswith("file://"):
            return _file(uri.removeprefix("file://"), "--uri"), uri
        return _fetch(uri, settings), uri
    assert path is not None  # noqa: S101 - one of the two is set
    if path == "-":
        return _limited(sys.stdin.buffer.read(MAX_BYTES + 1), "<stdin>"), "<stdin>"
    return _file(path, option), path


def _file(path: str, option: str) -> bytes:
    try:
        with Path(path).open("rb") as stream:
            return _limited(stream.read(MAX_BYTES + 1), path)
    except OSError as exc:
        raise InvalidInput(
            faults=[Fault(path, 0, 0, "", (exc.strerror or str(exc)).lower(), f"check {option}")]
        ) from exc


def _limited(data: bytes, source: str) -> bytes:
    if len(data) > MAX_BYTES:
        limit = f"larger than {MAX_BYTES // (1024 * 1024)} MiB"
        raise InvalidInput(
            faults=[Fault(source, 0, 0, "", limit, "a description is a few kilobytes: is this the right file?")]
        )
    return data


def _fetch(uri: str, settings: Settings) -> bytes:
    import httpx

    if not uri.startswith(("http://", "https://")):
        raise UsageError(f"--uri {uri!r} is not an address", hint="http://…, https://… or file://…")
    settings.note(f"fetching {uri}", level=1)
    data = b""
    try:
        with httpx.Client(timeout=30, follow_redirects=True) as client, client.stream("GET", uri) as response:
            if not response.is_success:
                raise InvalidInput(
                    f"{uri}: answered {response.status_code} {response.reason_phrase}", hint="check --uri"
                )
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > MAX_BYTES:
                    break
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise Unreachable(f"{uri} cannot be fetched: {exc}", hint="check the address and the network") from exc
    return _limited(data, uri)
