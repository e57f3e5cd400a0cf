"""Who asks for what, and how: the facts of one API call that the registry needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["ANONYMOUS", "SYSTEM", "Call", "DeleteOptions", "User"]


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated user."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)


#: Who gives no credentials.
ANONYMOUS: Final = User("system:anonymous", ("system:unauthenticated",))
#: The server itself and the controllers in its process.
SYSTEM: Final = User("system:apiserver", ("system:masters", "system:authenticated"))


@dataclass(slots=True)
class Call:
    """One call.

    Attributes:
        manager: Field manager.
        validation: ``Strict``, ``Warn`` or ``Ignore`` for unknown and duplicate fields.
        warnings: Texts for Warning headers; the registry adds to them.
    """

    user: User = SYSTEM
    manager: str = "unknown"
    dry_run: bool = False
    validation: str = "Ignore"
    force: bool = False
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """`meta/v1` DeleteOptions; grace in seconds."""

    propagation: str = ""
    grace: int | None = None
    uid: str = ""
    resource_version: str = ""
