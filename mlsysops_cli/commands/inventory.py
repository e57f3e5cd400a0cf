"""`mls inventory`: check an inventory and show the slice it describes."""

from __future__ import annotations

from typing import Annotated

import typer

from mlsysops_cli.commands.options import Vault
from mlsysops_cli.settings import settings_of

app = typer.Typer(
    help="Check an inventory and show the slice it describes.", rich_markup_mode=None, add_completion=False
)

__all__ = ["app"]

Inventory = Annotated[str | None, typer.Option("--inventory", "-i", metavar="FILE", help="Ansible inventory.")]
Argument = Annotated[str | None, typer.Argument(metavar="FILE", help="Ansible inventory.")]


@app.command()
def validate(
    ctx: typer.Context, file: Argument = None, inventory: Inventory = None, vault_password_file: Vault = None
) -> None:
    """Check an inventory; every fault is shown at once, and no host is touched."""
    from mlsysops_cli.actions.framework.inventory import validate as action

    action(settings_of(ctx), file or inventory, vault_password_file)


@app.command()
def show(
    ctx: typer.Context, file: Argument = None, inventory: Inventory = None, vault_password_file: Vault = None
) -> None:
    """Show the slice that an inventory describes."""
    from mlsysops_cli.actions.framework.inventory import show as action

    action(settings_of(ctx), file or inventory, vault_password_file)
