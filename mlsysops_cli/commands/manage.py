"""`mls manage`: the slice as a whole."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from mlsysops_cli.settings import settings_of

app = typer.Typer(
    help="Ping the agents; set the slice's mode and targets.", rich_markup_mode=None, add_completion=False
)

__all__ = ["Relation", "app"]


class Relation(StrEnum):
    """How a value must relate to its target."""

    LOWER_OR_EQUAL = "lower_or_equal"
    LOWER_THAN = "lower_than"
    GREATER_OR_EQUAL = "greater_or_equal"
    GREATER_THAN = "greater_than"
    EQUAL = "equal"


class ModeName(StrEnum):
    """How policies decide, by number or by name."""

    HEURISTIC = "0"
    MACHINE_LEARNING = "1"
    HEURISTIC_NAME = "heuristic"
    MACHINE_LEARNING_NAME = "ml"

    @property
    def number(self) -> int:
        """Its number, as the API has it."""
        return int(self in {ModeName.MACHINE_LEARNING, ModeName.MACHINE_LEARNING_NAME})


@app.command("ping")
@app.command("ping-agent", hidden=True)
def ping(ctx: typer.Context) -> None:
    """Show whether every agent is alive.

    Exit code 0: all of them; 1: not all.
    """
    from mlsysops_cli.client.session import connect
    from mlsysops_cli.output import emit
    from mlsysops_cli.views import AGENTS

    settings = settings_of(ctx)
    with connect(settings) as api:
        answer = api.get("/v1/ping")
    emit(settings, answer, AGENTS)
    if not answer["ready"]:
        settings.note("not every agent is ready: `mls framework doctor` tells more")
        raise typer.Exit(1)


@app.command("set-mode")
def set_mode(
    ctx: typer.Context,
    mode: Annotated[ModeName, typer.Option("--mode", help="0 or heuristic; 1 or ml, machine learning.")],
) -> None:
    """Set how policies decide."""
    from mlsysops_cli.client.session import connect
    from mlsysops_cli.output import emit_document

    settings = settings_of(ctx)
    with connect(settings) as api:
        answer = api.send("PUT", f"/v1/settings/mode/{mode.number}")
    emit_document(settings, answer, kind="mode", text=f"mode {answer['mode']} ({answer['name']})\n")


@app.command("set-system-target")
def set_system_target(
    ctx: typer.Context,
    metric: Annotated[str, typer.Option("--metric", metavar="NAME", help="Name of the metric, e.g. energy.")],
    target: Annotated[float, typer.Option("--target", metavar="VALUE", help="The value, in the metric's unit.")],
    relation: Annotated[
        Relation, typer.Option("--relation", help="How the metric must relate to the value.")
    ] = Relation.LOWER_OR_EQUAL,
) -> None:
    """Set a target of the whole slice.

    A target for the same metric is replaced.
    """
    import json

    from mlsysops_cli.client.session import connect
    from mlsysops_cli.output import emit
    from mlsysops_cli.views import SYSTEM_TARGETS

    settings = settings_of(ctx)
    body = json.dumps({"metric": metric, "relation": relation.value, "target": target}).encode()
    with connect(settings) as api:
        answer = api.send("PUT", "/v1/settings/system-targets", body, media_type="application/json")
    emit(settings, {"items": answer}, SYSTEM_TARGETS)


@app.command("delete-system-target")
def delete_system_target(
    ctx: typer.Context,
    metric: Annotated[str, typer.Option("--metric", metavar="NAME", help="Name of the metric, e.g. energy.")],
) -> None:
    """Take a target of the whole slice back; the others are shown."""
    from urllib.parse import quote

    from mlsysops_cli.client.session import connect
    from mlsysops_cli.output import emit
    from mlsysops_cli.views import SYSTEM_TARGETS

    settings = settings_of(ctx)
    with connect(settings) as api:
        answer = api.send("DELETE", f"/v1/settings/system-targets/{quote(metric, safe='')}")
    emit(settings, {"items": answer}, SYSTEM_TARGETS)


@app.command("config-trust")
def config_trust(ctx: typer.Context) -> None:
    """Set what makes a node trusted (not in this version)."""
    from mlsysops_core.errors import Refused

    from mlsysops_cli import __version__

    raise Refused(f"mls {__version__} has no trust assessment yet", hint="see the change log for when it comes")
