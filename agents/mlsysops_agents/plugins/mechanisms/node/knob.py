"""One value of the machine that can be read and written; most are files of sysfs or a control group file system."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

from mlsysops_core.errors import Conflict, InvalidInput, MlsError, NotFound, Refused

__all__ = ["UNSURE", "CannotRestore", "Change", "FileKnob", "Knob", "read_text", "translate"]


#: What a remembered knob reads when an agent was killed between its note and the deed.
UNSURE = "?"


class CannotRestore(MlsError):
    """A setting that nobody knows the way back from; said once, and then let be."""


class Knob(Protocol):
    """One value.

    Attributes:
        key: What it is called in the record of previous settings, and in dry runs: a path of the host, or a name.
        lasting: The value outlives a reboot.
        remembered: The machine does not tell the value, so the record is all there is to read.
    """

    @property
    def key(self) -> str:
        """Its name."""
        ...

    @property
    def lasting(self) -> bool:
        """Whether it outlives a reboot."""
        ...

    @property
    def remembered(self) -> bool:
        """Whether the record alone knows it."""
        ...

    def read(self) -> str:
        """Return the value.

        Raises:
            NotFound: The knob is gone (a container that ended, a device that was unplugged).
            MlsError: It cannot be read.
        """
        ...

    def write(self, value: str) -> None:
        """Set the value, in one step.

        Raises:
            NotFound: The knob is gone.
            InvalidInput: The kernel does not take the value.
            Refused: It may not be written.
            Conflict: It is busy; worth a retry.
            MlsError: Anything else.
        """
        ...

    def same(self, wanted: str, found: str) -> bool:
        """Say whether a value that was read is the one that was wanted: kernels round, and write lists their own way."""
        ...

    def drifted(self, wanted: str, found: str) -> bool:
        """Say whether the system itself may have made one value of the other (thermal limits of a frequency, say)."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """What a command wants of one knob.

    Attributes:
        knob: The knob.
        to: The value.
        asset: What the knob belongs to.
    """

    knob: Knob
    to: str
    asset: str


def _equal(wanted: str, found: str) -> bool:
    return wanted.strip() == found.strip()


@dataclass(frozen=True, slots=True)
class FileKnob:
    """A file of the host that holds one value.

    Attributes:
        root: Where the host's root directory is.
        key: Path on the host.
        compare: How values are compared; as text where not given.
        drifts: Says whether the system itself may have made the second value of the first; it never does where not given.
    """

    root: Path
    key: str
    compare: Callable[[str, str], bool] = field(default=_equal)
    drifts: Callable[[str, str], bool] | None = None
    lasting: bool = False
    remembered: ClassVar[bool] = False

    @property
    def path(self) -> Path:
        """Where the file is for this process."""
        return self.root / self.key.lstrip("/")

    def read(self) -> str:
        """Return the value without its line end."""
        try:
            return self.path.read_text().strip()
        except OSError as exc:
            raise translate(exc, self.key, "read") from exc

    def write(self, value: str) -> None:
        """Write the value in one system call, as these file systems want it."""
        try:
            # Never created: a knob that is not there must not become a file.
            descriptor = os.open(self.path, os.O_WRONLY | os.O_TRUNC)
            try:
                # The line end makes it a write of at least one byte, so that an empty value (an empty CPU set) arrives too.
                os.write(descriptor, f"{value}\n".encode())
            finally:
                os.close(descriptor)
        except OSError as exc:
            raise translate(exc, self.key, f"set to {value!r}") from exc

    def same(self, wanted: str, found: str) -> bool:
        """Compare."""
        return self.compare(wanted, found)

    def drifted(self, wanted: str, found: str) -> bool:
        """Ask."""
        return self.drifts is not None and self.drifts(wanted, found)


def read_text(path: Path) -> str | None:
    """Return the content of a file without its line end; None where there is none or it cannot be read."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def translate(error: OSError, key: str, action: str) -> MlsError:
    """Turn an error of the system into one of ours."""
    text = f"{key} cannot be {action}: {error.strerror or error}"
    match error.errno:
        case errno.ENOENT | errno.ENODEV | errno.ENXIO | errno.ENOTDIR:
            return NotFound(f"{key} is gone: {error.strerror}")
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return Refused(text, hint="the agent needs the right to write there")
        case errno.EINVAL | errno.ERANGE | errno.E2BIG:
            return InvalidInput(text)
        case errno.EBUSY | errno.EAGAIN | errno.EINTR:
            return Conflict(text)
    return MlsError(text)
