"""`mls framework`: the commands that change a slice while it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from mlsysops_cli.commands.options import AcceptKeys, Check, Inventory, Limit, SliceName, Vault
from mlsysops_cli.settings import settings_of

app = typer.Typer(rich_markup_mode=None, add_completion=False)

__all__ = ["app"]


@app.command("add-node")
def add_node(
    ctx: typer.Context,
    hosts: Annotated[
        list[str],
        typer.Argument(metavar="HOST...", help="Workers of the inventory that join; on k3s also further servers."),
    ],
    inventory: Inventory = None,
    check: Check = False,
    vault_password_file: Vault = None,
    accept_host_keys: AcceptKeys = False,
) -> None:
    """Let hosts join a running slice; no others than they and their clusters' servers are touched."""
    from mlsysops_cli.actions.framework.change import HostAccess
    from mlsysops_cli.actions.framework.nodes import add_nodes

    access = HostAccess(inventory, vault_password_file, accept_host_keys, check)
    add_nodes(settings_of(ctx), hosts, access)


@app.command("remove-node")
def remove_node(
    ctx: typer.Context,
    hosts: Annotated[
        list[str], typer.Argument(metavar="HOST...", help="Workers that leave; on k3s also servers that joined.")
    ],
    inventory: Inventory = None,
    force: Annotated[
        bool, typer.Option("--force", help="The hosts are dead: do not ask them, and wait for nothing.")
    ] = False,
    timeout: Annotated[
        int, typer.Option("--timeout", min=1, metavar="SECONDS", help="How long a node may take to become empty.")
    ] = 120,
    check: Check = False,
    vault_password_file: Vault = None,
    slice_name: SliceName = None,
) -> None:
    """Take hosts out of a running slice: what runs there moves first."""
    from mlsysops_cli.actions.framework.change import HostAccess
    from mlsysops_cli.actions.framework.nodes import remove_nodes

    access = HostAccess(inventory, vault_password_file, check=check)
    remove_nodes(settings_of(ctx), hosts, access, slice_name=slice_name, force=force, seconds=timeout)


@app.command()
def upgrade(
    ctx: typer.Context,
    slice_name: SliceName = None,
    inventory: Inventory = None,
    limit: Limit = "",
    check: Check = False,
    vault_password_file: Vault = None,
    accept_host_keys: AcceptKeys = False,
) -> None:
    """Upgrade a slice to this version, host by host; one that is not well afterwards goes back, and the rest is left alone."""
    from mlsysops_cli.actions.framework.change import HostAccess
    from mlsysops_cli.actions.framework.upgrade import upgrade as action

    access = HostAccess(inventory, vault_password_file, accept_host_keys, check)
    action(settings_of(ctx), slice_name, access, limit=limit)


@app.command()
def backup(
    ctx: typer.Context,
    file: Annotated[str, typer.Option("--file", metavar="FILE", help="Where to write it; it holds keys.")],
    slice_name: SliceName = None,
    inventory: Inventory = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    vault_password_file: Vault = None,
) -> None:
    """Copy the stores and keys of a slice's control planes into one private file, while it runs."""
    from mlsysops_cli.actions.framework.backup import backup as action
    from mlsysops_cli.actions.framework.change import HostAccess

    access = HostAccess(inventory, vault_password_file)
    action(settings_of(ctx), slice_name, file, access, force=force)


@app.command()
def restore(
    ctx: typer.Context,
    file: Annotated[str, typer.Option("--file", metavar="FILE", help="What `backup` wrote.")],
    inventory: Inventory = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    vault_password_file: Vault = None,
    accept_host_keys: AcceptKeys = False,
) -> None:
    """Put a backup back, onto the hosts it was taken from or onto bare ones, and deploy the slice."""
    from mlsysops_cli.actions.framework.backup import restore as action
    from mlsysops_cli.actions.framework.change import HostAccess

    access = HostAccess(inventory, vault_password_file, accept_host_keys)
    action(settings_of(ctx), file, access, yes=yes)
