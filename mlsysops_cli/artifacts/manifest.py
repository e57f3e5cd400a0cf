"""The list of what an artifacts directory holds, ``artifacts.json``: name, checksum, size, source, and who vouches."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from mlsysops_core.errors import Fault, InvalidInput
from pydantic import BaseModel, ConfigDict, ValidationError

from mlsysops_cli.artifacts.catalog import Artifact
from mlsysops_cli.files import write_private

__all__ = ["MANIFEST", "Entry", "Manifest", "digest_of"]

MANIFEST = "artifacts.json"
#: Who vouches for a checksum: this project, the list released beside the file, or nobody but the first download.
Trust = Literal["pinned", "released-list", "first-use"]


class Entry(BaseModel):
    """One file of an artifacts directory.

    Attributes:
        sha256: Its checksum.
        size: Its size in bytes.
        url: Where it came from.
        trust: Who vouches for the checksum.
    """

    model_config = ConfigDict(extra="ignore")

    sha256: str
    size: int
    url: str = ""
    trust: Trust = "pinned"


class Manifest(BaseModel):
    """What an artifacts directory holds.

    Attributes:
        artifacts: Entries by name.
    """

    model_config = ConfigDict(extra="ignore")

    artifacts: dict[str, Entry] = {}

    @classmethod
    def load(cls, directory: Path) -> Manifest:
        """Read the list; an empty one where there is none yet.

        Raises:
            InvalidInput: It is damaged.
        """
        path = directory / MANIFEST
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls()
        except (OSError, ValidationError, ValueError) as exc:
            raise InvalidInput(
                f"{path} is damaged: {str(exc).splitlines()[0]}",
                hint="remove it and fetch again: files that are good stay",
            ) from exc

    def save(self, directory: Path) -> None:
        """Write the list in one step."""
        document = {"artifacts": {name: entry.model_dump() for name, entry in sorted(self.artifacts.items())}}
        write_private(directory / MANIFEST, json.dumps(document, indent=2) + "\n")

    def wanted(self, artifact: Artifact) -> str:
        """Return the checksum that a file must have; empty where nobody said it yet.

        What this project pins has the last word.
        """
        entry = self.artifacts.get(artifact.name)
        return artifact.sha256 or (entry.sha256 if entry else "")

    def faults(self, directory: Path, artifacts: list[Artifact]) -> list[Fault]:
        """Return what is missing or wrong of some artifacts, a line each."""
        found = []
        for artifact in artifacts:
            path, wanted = directory / artifact.name, self.wanted(artifact)
            if not path.is_file():
                message = f"{artifact.name} is missing"
            elif not wanted:
                message = f"{artifact.name} is not in {MANIFEST}: nobody vouches for it"
            elif (digest := digest_of(path)) != wanted:
                message = f"{artifact.name} has the wrong checksum {digest[:16]}…, wanted {wanted[:16]}…"
            else:
                continue
            hint = "fill the directory with `mls framework fetch-artifacts`"
            found.append(Fault(source=str(directory), message=message, hint=hint))
        return found


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
