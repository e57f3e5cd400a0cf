"""The file that a backup of a slice is: a tar of one part a control plane, with a manifest and checksums."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import Conflict, InvalidInput, NotFound
from pydantic import BaseModel, ConfigDict, ValidationError

from mlsysops_cli import __version__
from mlsysops_cli.files import replace_private

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlsysops_cli.slice.state import SliceState

__all__ = ["BackupManifest", "read_backup", "write_backup"]

FORMAT = 1
_MANIFEST = "manifest.json"
_CHUNK = 1 << 20


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")

    sha256: str
    bytes: int


class BackupManifest(BaseModel):
    """What an archive says of itself, in ``manifest.json``, its first member.

    Attributes:
        format: Version of this layout.
        slice: Name of the slice.
        engine: Its engine.
        version: Version of this software that took it.
        created: When, in UTC (RFC 3339).
        hosts: ``role/cluster`` of every host of the slice then.
        parts: Checksum and size of each further member; ``<host>.tar.gz`` is a control plane's store and keys.
    """

    model_config = ConfigDict(extra="ignore")

    format: int
    slice: str
    engine: str
    version: str
    created: str
    hosts: dict[str, str]
    parts: dict[str, _Part]


@dataclass(frozen=True, slots=True)
class Backup:
    """An archive that was read and found whole.

    Attributes:
        manifest: What it says of itself.
        directory: Where its parts are, while the archive is open.
    """

    manifest: BackupManifest
    directory: Path


def write_backup(path: Path, state: SliceState, parts: Mapping[str, Path], *, force: bool) -> BackupManifest:
    """Write an archive, mode 0600; it is there as a whole or not at all.

    Args:
        path: Where to.
        state: The slice's state.
        parts: The further members, by name.
        force: Replace a file that exists.

    Raises:
        Conflict: The file exists.
        OSError: It cannot be written.
    """
    if path.exists() and not force:
        raise Conflict(f"{path} exists", hint="--force replaces it, --file writes elsewhere")
    manifest = BackupManifest(
        format=FORMAT,
        slice=state.name,
        engine=state.engine,
        version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        hosts=state.hosts,
        parts={name: _Part(sha256=_digest(part), bytes=part.stat().st_size) for name, part in sorted(parts.items())},
    )
    with replace_private(path) as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        text = (manifest.model_dump_json(indent=1) + "\n").encode()
        archive.addfile(_member(_MANIFEST, len(text)), io.BytesIO(text))
        for name, part in sorted(parts.items()):
            with part.open("rb") as content:
                archive.addfile(_member(name, part.stat().st_size), content)
    return manifest


@contextmanager
def read_backup(path: Path, scratch: Path) -> Iterator[Backup]:
    """Check an archive and yield it unpacked; what was unpacked is gone afterwards.

    Args:
        path: The archive.
        scratch: Private directory to unpack in.

    Raises:
        NotFound: There is no such file.
        InvalidInput: It is no backup, or it is damaged.
    """
    if not path.is_file():
        raise NotFound(f"{path}: no such file", hint="`mls framework backup --file FILE` makes one")
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix="backup-", dir=scratch) as directory:
        try:
            manifest = _unpack(path, Path(directory))
        except (tarfile.TarError, ValidationError, ValueError, KeyError, EOFError) as exc:
            why = str(exc).splitlines()[0]
            raise InvalidInput(f"{path} is not a whole backup: {why}", hint="take another one") from exc
        yield Backup(manifest, Path(directory))


def _unpack(path: Path, directory: Path) -> BackupManifest:
    with tarfile.open(path, mode="r:") as archive:
        manifest = BackupManifest.model_validate(_json(archive))
        if manifest.format != FORMAT:
            raise ValueError(f"its format is {manifest.format}, this version reads {FORMAT}")
        names = [member.name for member in archive.getmembers()]
        expected = [_MANIFEST, *sorted(manifest.parts)]
        if names != expected:
            raise ValueError(f"it holds {', '.join(names)} instead of {', '.join(expected)}")
        for name, part in manifest.parts.items():
            if "/" in name or name.startswith("."):
                raise ValueError(f"{name} leads out of it")
            source = archive.extractfile(name)
            if source is None:
                raise ValueError(f"{name} is no file")
            target = directory / name
            with source, open(target, "xb", opener=_private) as stream:
                while chunk := source.read(_CHUNK):
                    stream.write(chunk)
            if target.stat().st_size != part.bytes or _digest(target) != part.sha256:
                raise ValueError(f"the checksum of {name} is wrong")
    return manifest


def _json(archive: tarfile.TarFile) -> Any:
    source = archive.extractfile(_MANIFEST)
    if source is None:
        raise ValueError("its manifest is no file")
    with source:
        return json.loads(source.read(_CHUNK))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
