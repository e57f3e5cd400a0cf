"""Checks descriptions before they are sent, so that faults carry line and column of the user's own file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import InvalidInput

if TYPE_CHECKING:
    from mlsysops_core.model import Application, Description

    from mlsysops_cli.settings import Settings

__all__ = ["check", "check_application", "document_text"]


def check(data: bytes, source: str, settings: Settings) -> list[Description]:
    """Return the descriptions of a file, and tell its warnings.

    Raises:
        InvalidInput: With every fault of the file.
    """
    from mlsysops_core.model import load

    loaded = load(data, source=source)
    for warning in loaded.warnings:
        settings.note(f"warning: {warning}")
    if not loaded.descriptions:
        raise InvalidInput(f"{source}: holds no description", hint="it begins with MLSysOpsApp: or the like")
    return loaded.descriptions


def check_application(data: bytes, source: str, settings: Settings) -> Application:
    """Return the one application a file describes.

    Raises:
        InvalidInput: It has faults, describes several things, or something else.
    """
    from mlsysops_core.model import Application

    found = check(data, source, settings)
    if len(found) != 1:
        raise InvalidInput(f"{source}: holds {len(found)} descriptions", hint="one application a file")
    if not isinstance(found[0], Application):
        kind = type(found[0]).__name__.lower()
        raise InvalidInput(f"{source}: describes a {kind}, not an application", hint="use `mls infra register-infra`")
    return found[0]


def document_text(document: dict[str, Any]) -> str:
    """Return a description as the YAML that people write."""
    from mlsysops_cli.output import to_yaml

    return to_yaml(document)
