"""`mls context`: which slice the commands talk to."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mlsysops_cli.settings import settings_of

app = typer.Typer(
    help="Choose the slice that commands talk to.", rich_markup_mode=None, add_completion=False, no_args_is_help=True
)

__all__ = ["app"]


def _names(incomplete: str) -> list[str]:
    from mlsysops_cli.context import list_contexts

    return [name for name in list_contexts() if name.startswith(incomplete)]


def _row(name: str, current: str | None) -> dict[str, Any]:
    from mlsysops_cli.context import load_context

    context = load_context(name)
    return {
        "name": name,
        "current": name == current,
        "engine": context.engine,
        "api": context.api.url,
        "clusters": sorted(context.clusters),
        "kubeconfig": context.kubeconfig,
    }


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List the contexts; the one in use is marked."""
    from mlsysops_cli.context import current_context_name, list_contexts
    from mlsysops_cli.output import Column, Table, emit

    current = current_context_name()
    table = Table(
        kind="context",
        columns=(
            Column("CURRENT", lambda row: "*" if row["current"] else " "),  # nothing at all, as kubectl shows it
            Column("NAME", "name"),
            Column("ENGINE", "engine"),
            Column("API", "api"),
            Column("CLUSTERS", "clusters", wide=True),
            Column("KUBECONFIG", "kubeconfig", wide=True),
        ),
        empty="no context yet: deploy a slice with `mls framework deploy-all`",
    )
    emit(settings_of(ctx), {"items": [_row(name, current) for name in list_contexts()]}, table)


@app.command("use")
def use(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the context.", autocompletion=_names)],
) -> None:
    """Make a context the one in use."""
    from mlsysops_cli.context import use_context
    from mlsysops_cli.output import emit_document

    settings = settings_of(ctx)
    use_context(name)
    settings.note(f"using context {name}")
    if settings.structured:
        emit_document(settings, {"name": name}, kind="context")


@app.command("show")
def show(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Name of the context; the one in use without.", autocompletion=_names),
    ] = None,
) -> None:
    """Show a context, without its token."""
    from mlsysops_cli.context import load_context
    from mlsysops_cli.output import emit_document

    settings = settings_of(ctx)
    document = load_context(name or settings.context).to_dict()
    document["api"]["token"] = "(set)" if document["api"]["token"] else ""
    emit_document(settings, document, kind="context")
