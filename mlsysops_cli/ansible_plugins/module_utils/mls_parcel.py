"""Private tar archives of files that hold keys: written in one step, unpacked only where they should be.

Standard library only.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

__all__ = ["ParcelError", "pack", "unpack"]


class ParcelError(Exception):
    """An archive holds what it should not."""


def pack(file: Path, members: Mapping[str, Path]) -> None:
    """Write a gzipped tar, mode 0600; it is there as a whole or not at all.

    Args:
        file: Where to; its directory exists.
        members: Files and directories by their names in the archive. What is neither stays out: links and sockets are made
            anew by whoever needs them.

    Raises:
        OSError: It cannot be written.
    """
    partial = file.with_name(f".{file.name}.new")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # private from its first byte
    try:
        with (
            os.fdopen(descriptor, "wb") as stream,
            tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive,
        ):
            for name, path in members.items():
                archive.add(path, arcname=name, filter=_plain)
        partial.replace(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def unpack(file: Path, directory: Path) -> None:
    """Unpack an archive as this user's private files; their times stay.

    Args:
        file: The archive.
        directory: A private one.

    Raises:
        ParcelError: A member leads out of the directory, or is no plain file.
        OSError: It cannot be read or written.
        tarfile.TarError: It is damaged.
    """
    with tarfile.open(file, "r:gz") as archive:
        members = archive.getmembers()
        for member in members:
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
                raise ParcelError(f"{file}: {member.name} is no plain file below it")
        for member in members:
            member.uid, member.gid = os.geteuid(), os.getegid()
            member.mode = 0o700 if member.isdir() else 0o600
            archive.extract(member, directory, set_attrs=True)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return member if member.isfile() or member.isdir() else None
