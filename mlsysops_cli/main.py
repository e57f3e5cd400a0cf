"""The `mls` command: lazy command groups, and the one place where an error becomes text and an exit code.

Nothing heavy may be imported here: a group's module is imported when one of its commands is named, and what a
command needs is imported inside the command.
"""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
import typer.core
import typer.main

from mlsysops_cli import __version__
from mlsysops_cli.globals import attach, lighten_help, options
from mlsysops_cli.settings import Settings

__all__ = ["GROUPS", "app", "main"]

#: As `gc.set_threshold` takes it: imports make many objects that stay, and a command ends soon.
_COLLECT_AFTER = (50_000, 20, 20)

#: Every command group: the module that has it as ``app``, and its line in ``mls --help``. The text stands here so
#: that the help needs none of the modules.
GROUPS: dict[str, tuple[str, str]] = {
    "framework": ("mlsysops_cli.commands.framework", "Deploy a slice, look at it, upgrade it, remove it."),
    "inventory": ("mlsysops_cli.commands.inventory", "Check an inventory and show the slice it describes."),
    "apps": ("mlsysops_cli.commands.apps", "Deploy applications, and see and explain what they do."),
    "infra": ("mlsysops_cli.commands.infra", "Register nodes, clusters, datacenters and the continuum."),
    "ml": ("mlsysops_cli.commands.ml", "Deploy machine-learning models and see their state."),
    "manage": ("mlsysops_cli.commands.manage", "Ping the agents; set the slice's mode and targets."),
    "agent": ("mlsysops_cli.commands.agent", "Policies and configuration of running agents."),
    "testbed": ("mlsysops_cli.commands.testbed", "Make machines for trying slices out, break them, remove them."),
    "context": ("mlsysops_cli.commands.context", "Choose the slice that commands talk to."),
    "completion": ("mlsysops_cli.commands.completion", "Print a completion script for bash, zsh or fish."),
}

EXIT_CODES = """\
\b
Exit codes:
  0   done
  1   `diff` found a difference, or the asked-for condition is false
  2   the command line is wrong
  3   invalid input: a file, description or inventory does not validate
  4   unreachable: an API or host does not answer
  5   refused: authentication, authorisation or a safety rule says no
  6   not found
  7   conflict: exists already, changed meanwhile, or is in use
  8   timed out
  9   partial failure: some of it was done
  70  a fault of ours: please report it with the output of --debug

\b
Environment: MLS_CONTEXT, MLS_CONFIG, MLS_API_IP, MLS_API_PORT, KUBECONFIG, NO_COLOR.
"""


class RootGroup(typer.core.TyperGroup):
    """The root command: loads a group when it is named, and turns errors into text."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.params[0:0] = options()
        lighten_help(self)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the groups in the order of the table."""
        return list(GROUPS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the module of a group and return its command; None where there is no such group."""
        if cmd_name not in self.commands and cmd_name in GROUPS:
            command = attach(typer.main.get_command(import_module(GROUPS[cmd_name][0]).app), cmd_name)
            command.name = cmd_name
            self.commands[cmd_name] = command
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the group, or name the one that was probably meant."""
        name = args[0]
        if name not in GROUPS and not name.startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(name, GROUPS)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"no such command {name!r}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the groups from the static table, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in GROUPS.items()])

    def main(self, args: Any = None, prog_name: str | None = None, *rest: Any, **extra: Any) -> Any:
        """Run, and end the process with the exit code of what happened."""
        settings = Settings()
        extra.setdefault("obj", settings)
        extra["standalone_mode"] = False
        if any(name in os.environ for name in ("_MLS_COMPLETE", "_MLSYSOPS_CLI_COMPLETE")):
            from typer.completion import get_completion_inspect_parameters

            get_completion_inspect_parameters()  # registers Typer's shells, which it does for its own options only
        try:
            code = super().main(args, prog_name or None, *rest, **extra)
            sys.stdout.flush()
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the border between code and text
            from mlsysops_cli.errors_render import render

            code = render(error, settings)
        sys.exit(code if isinstance(code, int) else 0)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"mls {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="mls",
    cls=RootGroup,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Deploy and operate applications over cloud, edge and far-edge machines as one slice."""


def _open_streams() -> None:
    """Give a stream that the caller closed (``mls … 2>&-``) something to write to: Python leaves None in its place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - for as long as we run


def main() -> None:
    """Entry point of the console scripts."""
    gc.set_threshold(*_COLLECT_AFTER)
    _open_streams()
    typer.main.get_command(app).main()


if __name__ == "__main__":
    main()
