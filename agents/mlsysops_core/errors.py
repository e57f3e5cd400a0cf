"""The one exception tree of the project, with the exit code of each family.

::

    MlsError                      70  a fault of ours (or of a plug-in) that nobody expected
    ├── UsageError                 2  the command line itself is wrong
    ├── InvalidInput               3  a file, description or inventory that does not validate
    ├── Unreachable                4  an API, host or registry that does not answer
    ├── Refused                    5  authentication, authorisation or a safety rule says no
    ├── NotFound                   6  no object of that name
    ├── Conflict                   7  exists already, changed meanwhile, or is in use
    ├── TimedOut                   8  not done within the time given
    └── PartialFailure             9  some of it was done, the message says what is missing

Exit code 0 means done and 1 means that `diff` found a difference or that an asked-for condition is false.
Errors of third-party libraries are wrapped with ``raise … from exc``; only `mlsysops_cli.main` turns an
error into text and an exit code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "Conflict",
    "Fault",
    "InvalidInput",
    "MlsError",
    "NotFound",
    "PartialFailure",
    "Refused",
    "TimedOut",
    "Unreachable",
    "UsageError",
]


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong with an input, and where.

    Attributes:
        source: File name, URL or ``<stdin>``; empty where there is no file.
        line: 1-based line in the source; 0 where unknown.
        column: 1-based column in the source; 0 where unknown.
        path: Dotted path of the offending value, e.g. ``components[0].ports[1].protocol``.
        message: What is wrong, without a trailing full stop.
        hint: What to do about it; may be empty.
    """

    source: str = ""
    line: int = 0
    column: int = 0
    path: str = ""
    message: str = ""
    hint: str = ""

    def __str__(self) -> str:
        place = self.source
        if self.line:
            place = f"{place}:{self.line}:{self.column}" if place else f"{self.line}:{self.column}"
        text = ": ".join(part for part in (place, self.path, self.message) if part)
        return f"{text} ({self.hint})" if self.hint else text


class MlsError(Exception):
    """Root of every error this project raises on purpose.

    Args:
        message: One line that says what went wrong and where.
        hint: One line that says what to do; may be empty.
        details: A line for each thing that went wrong, where the message is only their summary.
    """

    exit_code: int = 70
    #: Stable, machine-readable name; the last part of the RFC 9457 problem type.
    code: str = "internal-error"
    #: HTTP status with which the northbound API reports this family.
    http_status: int = 500

    def __init__(self, message: str, *, hint: str = "", details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details: tuple[str, ...] = tuple(details)

    def __str__(self) -> str:
        text = f"{self.message}: {'; '.join(self.details)}" if self.details else self.message
        return f"{text} ({self.hint})" if self.hint else text


class UsageError(MlsError):
    """The command line itself is wrong."""

    exit_code = 2
    code = "usage"
    http_status = 400


class InvalidInput(MlsError):
    """An input does not validate; carries every fault at once.

    Args:
        message: Summary; made from the faults where empty.
        faults: All faults found, in the order of the source.
        hint: What to do.
        details: As of every error.
    """

    exit_code = 3
    code = "invalid-input"
    http_status = 422

    def __init__(
        self, message: str = "", *, faults: Sequence[Fault] = (), hint: str = "", details: Sequence[str] = ()
    ) -> None:
        self.faults: tuple[Fault, ...] = tuple(faults)
        if not message:
            message = str(self.faults[0]) if len(self.faults) == 1 else f"{len(self.faults)} faults found"
        super().__init__(message, hint=hint, details=details)


class Unreachable(MlsError):
    """Something that should answer does not."""

    exit_code = 4
    code = "unreachable"
    http_status = 503


class Refused(MlsError):
    """Authentication, authorisation or a safety rule says no."""

    exit_code = 5
    code = "refused"
    http_status = 403


class NotFound(MlsError):
    """No object of that name."""

    exit_code = 6
    code = "not-found"
    http_status = 404


class Conflict(MlsError):
    """It exists already, was changed meanwhile, or is in use."""

    exit_code = 7
    code = "conflict"
    http_status = 409


class TimedOut(MlsError):
    """It was not done within the time given."""

    exit_code = 8
    code = "timed-out"
    http_status = 504


class PartialFailure(MlsError):
    """Some of it was done; the message says what is missing."""

    exit_code = 9
    code = "partial-failure"
    http_status = 500
