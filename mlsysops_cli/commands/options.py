"""Options that several commands have, so that they are called and told alike everywhere."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

__all__ = [
    "AcceptKeys",
    "Check",
    "DryRun",
    "Inventory",
    "Limit",
    "Path",
    "SliceName",
    "Uri",
    "Vault",
]


class DryRun(StrEnum):
    """Who checks a write that is not done."""

    NONE = "none"
    CLIENT = "client"
    SERVER = "server"


# -- hosts of a slice ----------------------------------------------------------------------------------------------

Inventory = Annotated[
    str | None,
    typer.Option("--inventory", "-i", metavar="FILE", help="Ansible inventory; that of the slice in use by default."),
]
Vault = Annotated[
    str | None, typer.Option("--vault-password-file", metavar="FILE", help="Decrypts vaulted parts of the inventory.")
]
AcceptKeys = Annotated[
    bool, typer.Option("--accept-host-keys", help="Trust SSH keys of hosts that are seen for the first time.")
]
Check = Annotated[bool, typer.Option("--check", help="Change nothing; say what would change.")]
Limit = Annotated[str, typer.Option("--limit", metavar="HOSTS", help="Only these hosts, as Ansible takes them.")]
SliceName = Annotated[str | None, typer.Option("--slice", metavar="NAME", help="The slice; the one in use by default.")]

# -- descriptions --------------------------------------------------------------------------------------------------

Path = Annotated[str | None, typer.Option("--path", "-f", metavar="FILE", help="Description; - is standard input.")]
Uri = Annotated[str | None, typer.Option("--uri", metavar="ADDRESS", help="Address to fetch the description from.")]
