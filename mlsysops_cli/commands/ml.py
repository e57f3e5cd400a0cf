"""`mls ml`: machine-learning models; the API says what this version can do with them."""

from __future__ import annotations

from typing import Annotated

import typer

from mlsysops_cli.commands.options import Path, Uri
from mlsysops_cli.settings import settings_of

app = typer.Typer(
    help="Deploy machine-learning models and see their state.", rich_markup_mode=None, add_completion=False
)

__all__ = ["app"]

Uid = Annotated[str, typer.Argument(metavar="UID", help="Uid of the model.")]


@app.command("deploy-ml")
def deploy_ml(ctx: typer.Context, path: Path = None, uri: Uri = None) -> None:
    """Deploy a model."""
    from mlsysops_cli.client.session import connect
    from mlsysops_cli.output import emit_document
    from mlsysops_cli.sources import read_source

    settings = settings_of(ctx)
    data, source = read_source(path, uri, settings)
    with connect(settings) as api:
        emit_document(settings, api.send("POST", "/v1/models", data, source=source), kind="model")


@app.command("list-all")
def list_all(ctx: typer.Context) -> None:
    """List the models of the slice."""
    from mlsysops_cli.client.session import connect
    from mlsysops_cli.output import Column, Table, emit

    settings = settings_of(ctx)
    with connect(settings) as api:
        emit(settings, api.items("/v1/models"), Table(kind="model", columns=(Column("NAME", "name"),)))


@app.command("get-status")
def get_status(ctx: typer.Context, uid: Uid) -> None:
    """Show the state of a model."""
    from mlsysops_cli.client.http import path_of
    from mlsysops_cli.client.session import connect
    from mlsysops_cli.output import emit_document

    settings = settings_of(ctx)
    with connect(settings) as api:
        emit_document(settings, api.get(path_of("v1", "models", uid)), kind="model")


@app.command("remove-ml")
def remove_ml(ctx: typer.Context, uid: Uid) -> None:
    """Remove a model."""
    from mlsysops_cli.client.http import path_of
    from mlsysops_cli.client.session import connect
    from mlsysops_cli.output import emit_document

    settings = settings_of(ctx)
    with connect(settings) as api:
        emit_document(settings, api.send("DELETE", path_of("v1", "models", uid)), kind="model")
