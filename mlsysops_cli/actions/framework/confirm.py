"""Asks a person before something is lost that cannot be had back."""

from __future__ import annotations

import sys

from mlsysops_core.errors import Refused

__all__ = ["confirm_slice"]


def confirm_slice(name: str, what: str) -> None:
    """Let a person type a slice's name, or refuse.

    Args:
        name: The slice.
        what: What will happen, as a sentence.

    Raises:
        Refused: Nobody typed anything, or it was not the name.
    """
    sys.stderr.write(f"{what} Type its name to go on: ")
    sys.stderr.flush()
    typed = sys.stdin.readline().strip()
    if not sys.stdin.isatty():  # nobody has ended the line
        sys.stderr.write("\n")
    if not typed:
        raise Refused(f"slice {name} stays as it is: nobody confirmed", hint="type its name, or give --yes")
    if typed != name:
        raise Refused(f"slice {name} stays as it is: {typed!r} is not its name", hint=f"type {name}")
