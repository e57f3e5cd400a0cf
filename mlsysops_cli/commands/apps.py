"""`mls apps`: applications."""

from __future__ import annotations

from typing import Annotated

import typer

from mlsysops_cli.commands.options import DryRun, Path, Uri
from mlsysops_cli.settings import settings_of

app = typer.Typer(
    help="Deploy applications, and see and explain what they do.", rich_markup_mode=None, add_completion=False
)

__all__ = ["app"]


def _ids(ctx: typer.Context, incomplete: str) -> list[str]:
    from mlsysops_core.errors import MlsError

    from mlsysops_cli.client.session import connect

    try:
        with connect(settings_of(ctx), timeout=2.0) as api:
            return [item["id"] for item in api.items("/v1/apps")["items"] if item["id"].startswith(incomplete)]
    except MlsError:  # a shell that completes has nowhere to show an error
        return []


Id = Annotated[str, typer.Argument(metavar="ID", help="Name or uid of the application.", autocompletion=_ids)]
Timeout = Annotated[float, typer.Option("--timeout", min=0, metavar="SECONDS", help="Longest wait.")]


@app.command("deploy-app")
def deploy_app(
    ctx: typer.Context,
    path: Path = None,
    uri: Uri = None,
    dry_run: Annotated[
        DryRun, typer.Option("--dry-run", help="Check and write nothing: here (client) or with the API (server).")
    ] = DryRun.NONE,
    force: Annotated[bool, typer.Option("--force", help="Replace the description of one that exists.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until every component runs.")] = False,
    timeout: Timeout = 120.0,
) -> None:
    """Deploy an application from its description."""
    from mlsysops_cli.actions.apps import deploy

    deploy(settings_of(ctx), path, uri, dry_run=dry_run.value, force=force, wait=timeout if wait else None)


@app.command("list-all")
@app.command("list", hidden=True)
def list_all(ctx: typer.Context) -> None:
    """List the applications of the slice."""
    from mlsysops_cli.client.session import connect
    from mlsysops_cli.output import emit
    from mlsysops_cli.views import APPLICATIONS

    settings = settings_of(ctx)
    with connect(settings) as api:
        emit(settings, api.items("/v1/apps"), APPLICATIONS)


@app.command("get-app-status")
@app.command("get-status", hidden=True)
def get_app_status(ctx: typer.Context, app_id: Id) -> None:
    """Show how an application is doing."""
    from mlsysops_cli.actions.apps import show
    from mlsysops_cli.views import status_text

    show(settings_of(ctx), app_id, "status", status_text)


@app.command("get-app-details")
@app.command("get-details", hidden=True)
def get_app_details(ctx: typer.Context, app_id: Id) -> None:
    """Show everything known of an application."""
    from mlsysops_cli.actions.apps import show
    from mlsysops_cli.views import details_text

    show(settings_of(ctx), app_id, "details", details_text)


@app.command("get-app-performance")
@app.command("get-performance", hidden=True)
def get_app_performance(ctx: typer.Context, app_id: Id) -> None:
    """Show targets, what was measured and whether it holds."""
    from mlsysops_cli.actions.apps import performance

    performance(settings_of(ctx), app_id)


@app.command("remove-app")
@app.command("remove", hidden=True)
def remove_app(
    ctx: typer.Context,
    app_id: Id,
    dry_run: Annotated[DryRun, typer.Option("--dry-run", help="Check and write nothing.")] = DryRun.NONE,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until no cluster has it any more.")] = True,
    timeout: Timeout = 60.0,
) -> None:
    """Remove an application from the slice."""
    from mlsysops_cli.actions.apps import remove

    remove(settings_of(ctx), app_id, dry_run=dry_run.value, wait=timeout if wait else None)


@app.command("explain")
def explain(
    ctx: typer.Context,
    app_id: Id,
    limit: Annotated[
        int, typer.Option("--limit", min=0, metavar="N", help="Only the newest decisions; 0 for all.")
    ] = 0,
    decision: Annotated[
        str,
        typer.Option(
            "--decision", metavar="N", help="Only this one: its number (1 is the newest), or how its id begins."
        ),
    ] = "",
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Only since then: RFC 3339, or a duration before now (10m).")
    ] = "",
) -> None:
    """Explain what was decided and what was not chosen."""
    from mlsysops_cli.actions.apps import show
    from mlsysops_cli.views import explain_text

    show(settings_of(ctx), app_id, "decisions", explain_text, limit=limit, decision=decision, since=since)


@app.command("diff")
def diff(ctx: typer.Context, path: Path = None, uri: Uri = None) -> None:
    """Compare a description with what is deployed.

    Exit code 0: the same; 1: different.
    """
    from mlsysops_cli.actions.apps import diff as run

    if run(settings_of(ctx), path, uri):
        raise typer.Exit(1)


@app.command("edit")
def edit(ctx: typer.Context, app_id: Id) -> None:
    """Edit the description in $VISUAL or $EDITOR.

    Comments of the file it was deployed from are kept.
    """
    from mlsysops_cli.actions.edit import edit as run

    run(settings_of(ctx), app_id)
