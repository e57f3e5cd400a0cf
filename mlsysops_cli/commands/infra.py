"""`mls infra`: nodes, clusters, datacenters and the continuum."""

from __future__ import annotations

from typing import Annotated

import typer

from mlsysops_cli.commands.options import DryRun, Path, Uri
from mlsysops_cli.settings import settings_of

app = typer.Typer(
    help="Register nodes, clusters, datacenters and the continuum.", rich_markup_mode=None, add_completion=False
)

__all__ = ["app"]

Type = Annotated[str, typer.Option("--type", metavar="TYPE", help="Continuum, Datacenter, Cluster, Node or All.")]


@app.command("register-infra")
@app.command("register", hidden=True)
def register_infra(
    ctx: typer.Context,
    path: Path = None,
    uri: Uri = None,
    dry_run: Annotated[
        DryRun, typer.Option("--dry-run", help="Check and write nothing: here (client) or with the API (server).")
    ] = DryRun.NONE,
) -> None:
    """Register what a description describes, or update what is registered."""
    from mlsysops_cli.actions.infra import register

    register(settings_of(ctx), path, uri, dry_run=dry_run.value)


@app.command("list")
@app.command("list-infra", hidden=True)
def list_(
    ctx: typer.Context,
    type_: Type = "All",
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Only the one of this name.")] = "",
) -> None:
    """List what is registered."""
    from mlsysops_cli.client.session import connect
    from mlsysops_cli.output import emit
    from mlsysops_cli.views import INFRASTRUCTURE

    settings = settings_of(ctx)
    with connect(settings) as api:
        emit(settings, api.items("/v1/infra", type=type_, name=name), INFRASTRUCTURE)


@app.command("unregister-infra")
@app.command("unregister", hidden=True)
def unregister_infra(
    ctx: typer.Context,
    infra_id: Annotated[str, typer.Argument(metavar="ID", help="Name or uid.")],
    type_: Type = "All",
    dry_run: Annotated[DryRun, typer.Option("--dry-run", help="Check and write nothing.")] = DryRun.NONE,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also a cluster or continuum that agents report to; they are not seen any more."),
    ] = False,
) -> None:
    """Unregister one piece of infrastructure."""
    from mlsysops_cli.actions.infra import unregister

    unregister(settings_of(ctx), infra_id, type_, dry_run=dry_run.value, force=force)
