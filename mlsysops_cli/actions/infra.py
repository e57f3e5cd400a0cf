"""What the commands of `mls infra` do."""

from __future__ import annotations

from mlsysops_core.errors import InvalidInput
from mlsysops_core.model import Application, to_resource

from mlsysops_cli.client.http import path_of
from mlsysops_cli.client.session import connect
from mlsysops_cli.descriptions import check
from mlsysops_cli.output import emit_document, write
from mlsysops_cli.settings import Settings
from mlsysops_cli.sources import read_source

__all__ = ["register", "unregister"]


def register(settings: Settings, path: str | None, uri: str | None, *, dry_run: str) -> None:
    """Check descriptions here and send them."""
    data, source = read_source(path, uri, settings)
    descriptions = check(data, source, settings)
    if any(isinstance(item, Application) for item in descriptions):
        raise InvalidInput(f"{source}: describes an application", hint="use `mls apps deploy-app`")
    if dry_run == "client":
        results = [to_resource(item) for item in descriptions]
        lines = [f"{item['kind'].lower()}/{item['metadata']['name']} valid (client dry run)" for item in results]
    else:
        with connect(settings) as api:
            results = api.send("POST", "/v1/infra", data, source=source, dryRun="server" if dry_run == "server" else "")
        dry = " (server dry run)" if dry_run == "server" else ""
        lines = [f"{item['kind'].lower()}/{item['id']} {item['action']}{dry}" for item in results]
    if settings.output == "name":
        write("".join(f"{line.split(' ')[0]}\n" for line in lines))
    else:
        emit_document(settings, {"items": results}, kind="infrastructure", text="".join(f"{line}\n" for line in lines))


def unregister(settings: Settings, infra_id: str, type_: str, *, dry_run: str, force: bool) -> None:
    """Unregister one piece of infrastructure.

    Args:
        settings: Global options.
        infra_id: Name or uid.
        type_: Its type, or ``All``.
        dry_run: ``none``, or whom to ask whether it could be done.
        force: A cluster or continuum goes though its agents report to it.
    """
    with connect(settings) as api:
        dry = "server" if dry_run != "none" else ""  # both only ask whether it could be done
        path = path_of("v1", "infra", infra_id)
        result = api.send("DELETE", path, type=type_, dryRun=dry, force=force or "")
    suffix = f" ({dry_run} dry run)" if result["dryRun"] else ""
    text = f"infrastructure/{result['id']} unregistered{suffix}\n"
    emit_document(settings, result, kind="infrastructure", name="id", text=text)
