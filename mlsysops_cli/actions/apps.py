"""What the commands of `mls apps` do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlsysops_core.errors import NotFound

from mlsysops_cli.client.http import path_of
from mlsysops_cli.client.session import connect
from mlsysops_cli.descriptions import check_application, document_text
from mlsysops_cli.output import emit, emit_document, write
from mlsysops_cli.settings import Settings
from mlsysops_cli.sources import read_source
from mlsysops_cli.views import PERFORMANCE, satisfaction_text
from mlsysops_cli.wait import wait_until_gone, wait_until_running

__all__ = ["deploy", "diff", "performance", "remove", "show"]


def deploy(
    settings: Settings, path: str | None, uri: str | None, *, dry_run: str, force: bool, wait: float | None
) -> None:
    """Check a description here, send it, and wait for it where asked (`wait`: seconds)."""
    from mlsysops_core.model import description_name, to_resource

    data, source = read_source(path, uri, settings)
    description = check_application(data, source, settings)
    name = description_name(description)
    if dry_run == "client":
        text = f"application/{name} valid (client dry run)\n"
        emit_document(settings, to_resource(description), kind="application", name="metadata.name", text=text)
        return
    with connect(settings) as api:
        result = api.send(
            "POST", "/v1/apps", data, source=source, force=force, dryRun="server" if dry_run == "server" else ""
        )
        suffix = " (server dry run)" if result["dryRun"] else ""
        text = f"application/{result['id']} {result['action']}{suffix}\n"
        emit_document(settings, result, kind="application", name="id", text=text)
        if wait is not None and not result["dryRun"]:
            wait_until_running(api, settings, name, generation=result["generation"], timeout=wait)


def show(
    settings: Settings, app_id: str, view: str, text: Callable[[Mapping[str, Any]], str], **query: str | int | bool
) -> None:
    """Print one view of an application."""
    with connect(settings) as api:
        answer = api.get(path_of("v1", "apps", app_id, view), **query)
    emit_document(settings, answer, kind="application", name="id", text=text(answer))


def performance(settings: Settings, app_id: str) -> None:
    """Print an application's targets."""
    with connect(settings) as api:
        answer = api.get(path_of("v1", "apps", app_id, "performance"))
    emit(settings, answer, PERFORMANCE)
    if settings.output in {"table", "wide"} and (line := satisfaction_text(answer.get("satisfaction"))):
        write("\n" + line)


def remove(settings: Settings, app_id: str, *, dry_run: str, wait: float | None) -> None:
    """Remove an application, and wait until it is gone (`wait`: seconds)."""
    with connect(settings) as api:
        if dry_run == "client":
            answer = api.get(path_of("v1", "apps", app_id, "status"))
            result: dict[str, Any] = {"id": answer["id"], "phase": answer["phase"], "dryRun": True, "message": ""}
        else:
            result = api.send("DELETE", path_of("v1", "apps", app_id), dryRun="server" if dry_run == "server" else "")
        dry = f" ({dry_run} dry run)" if result["dryRun"] else ""
        gone = wait is not None and not result["dryRun"]
        if gone:
            wait_until_gone(api, settings, result["id"], timeout=wait or 0.0)
        done = "removed" if gone or result["dryRun"] else "is being removed"
        text = f"application/{result['id']} {done}{dry}\n"
        emit_document(settings, result, kind="application", name="id", text=text)


def diff(settings: Settings, path: str | None, uri: str | None) -> bool:
    """Print how a description differs from what is deployed; return whether it does."""
    from difflib import unified_diff

    from mlsysops_core.model import description_name, to_document

    data, source = read_source(path, uri, settings)
    description = check_application(data, source, settings)
    name = description_name(description)
    wanted = document_text(to_document(description))
    with connect(settings) as api:
        try:
            present = document_text(api.get(path_of("v1", "apps", name))["description"])
        except NotFound:
            settings.note(f"application {name!r} is not deployed")
            present = ""
    lines = list(unified_diff(present.splitlines(True), wanted.splitlines(True), f"deployed/{name}", source, n=3))
    write("".join(lines))
    return bool(lines)
