"""Where a slice's state lies on this machine, and the lock that keeps two commands from changing it at once."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
from mlsysops_core.errors import Conflict, InvalidInput, NotFound
from pydantic import BaseModel, ConfigDict, Field

from mlsysops_cli.files import write_private

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from mlsysops_cli.slice.model import Slice

__all__ = ["SliceState", "known_slices", "locked", "private_files", "slice_directory", "slices_root"]


def slices_root() -> Path:
    """Return the directory that holds all slices' states."""
    return platformdirs.user_data_path("mlsysops") / "slices"


def slice_directory(name: str) -> Path:
    """Return the directory of one slice's state (it may not exist yet)."""
    return slices_root() / name


def known_slices() -> list[str]:
    """Return the names of the slices that have state on this machine, sorted."""
    root = slices_root()
    return sorted(path.parent.name for path in root.glob("*/slice.json")) if root.is_dir() else []


class SliceState(BaseModel):
    """What a deployment remembers of itself, in ``slice.json``.

    Attributes:
        name: The slice.
        engine: The engine it was deployed with.
        inventory: Absolute path of the inventory it was deployed from.
        version: Version of this software that deployed it last.
        hosts: Role and cluster of each host, as ``role/cluster``, by name.
        addresses: Loopback allocation; see `mlsysops_cli.slice.addresses.Addresses`.
    """

    model_config = ConfigDict(extra="ignore")

    name: str
    engine: str = "embedded"
    inventory: str = ""
    version: str = ""
    hosts: dict[str, str] = Field(default_factory=dict)
    addresses: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def load(cls, name: str) -> SliceState:
        """Read a slice's state.

        Raises:
            NotFound: There is no such slice here.
            InvalidInput: The file is damaged.
        """
        path = slice_directory(name) / "slice.json"
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError as exc:
            known = ", ".join(known_slices())
            hint = f"slices here: {known}" if known else "run `mls framework deploy-all` first"
            raise NotFound(f"slice {name!r} does not exist on this machine", hint=hint) from exc
        except ValueError as exc:
            raise InvalidInput(f"{path} is damaged: {exc}", hint="remove it and deploy the slice again") from exc

    @classmethod
    def find(cls, name: str) -> SliceState | None:
        """Read a slice's state, or return None where the slice is unknown here."""
        try:
            return cls.load(name)
        except NotFound:
            return None

    def save(self) -> Path:
        """Write the state, mode 0600, in one step."""
        path = slice_directory(self.name) / "slice.json"
        write_private(path, json.dumps(self.model_dump(), indent=2, sort_keys=True) + "\n")
        return path

    def check_extension(self, slice_: Slice, *, leaving: Collection[str] = ()) -> None:
        """Refuse an inventory that is another slice of the same name; more hosts than before are welcome.

        Args:
            slice_: What is to be deployed.
            leaving: Hosts of the deployed slice that may be missing.

        Raises:
            Conflict: A host of the deployed slice is missing or has another role, or the engine differs.
        """
        wanted = host_roles(slice_)
        moved = [
            f"{name} was {old}, is {wanted[name]}" for name, old in self.hosts.items() if wanted.get(name, old) != old
        ]
        missing = [name for name in self.hosts if name not in wanted and name not in leaving]
        problems = moved
        if missing:
            problems = [f"{', '.join(missing)} missing", *moved]
        if self.hosts and self.engine != slice_.engine:
            problems = [f"the engine was {self.engine}, is {slice_.engine}", *problems]
        if problems:
            raise Conflict(
                f"slice {self.name!r} is deployed from {self.inventory or 'another inventory'} and differs: "
                + "; ".join(problems),
                hint="`mls framework remove-node` takes a worker out; for another slice set another mls_slice"
                if missing and not moved
                else "set another mls_slice in the inventory, or destroy the deployed slice first",
            )


def host_roles(slice_: Slice) -> dict[str, str]:
    """Return ``role/cluster`` of every host of a slice, by name; nodes that an API knows come and go without us."""
    return {
        host.name: f"{host.role}/{host.cluster}"
        for host in slice_.hosts.values()
        if host.machine or host.role != "worker"
    }


@contextmanager
def locked(directory: Path, what: str, *, wait: float = 0) -> Iterator[None]:
    """Hold a directory's lock file; a second holder is refused, at once unless it waits.

    Args:
        directory: Made, mode 0700, where it does not exist.
        what: What the lock protects, for the message.
        wait: Seconds for another holder to finish.

    Raises:
        Conflict: Another process holds it.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / ".lock"
    with path.open("a+", encoding="utf-8") as stream:
        path.chmod(0o600)
        try:
            _lock(stream.fileno(), wait)
        except BlockingIOError as exc:
            stream.seek(0)
            holder = stream.read().strip() or "unknown"
            raise Conflict(f"another command (process {holder}) is working on {what}", hint="wait for it") from exc
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        try:
            yield
        finally:
            # Emptied, not removed: removing it would let a waiter lock a file that nobody else can see.
            stream.truncate(0)


def _lock(descriptor: int, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.2)


@contextmanager
def private_files() -> Iterator[None]:
    """Let this process and those it starts make files and directories for this user alone; also a decorator."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
