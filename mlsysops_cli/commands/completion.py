"""`mls completion`: scripts that make a shell complete commands, options and names."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated

import typer

app = typer.Typer(help="Print a completion script for bash, zsh or fish.", rich_markup_mode=None, add_completion=False)

__all__ = ["Shell", "app"]


class Shell(StrEnum):
    """The shells there is completion for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@app.command()
def completion(
    ctx: typer.Context, shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="The shell to complete for.")]
) -> None:
    """Print a completion script for bash, zsh or fish.

    \b
    bash:  source <(mls completion bash)                                # in ~/.bashrc
    zsh:   source <(mls completion zsh)                                 # in ~/.zshrc
    fish:  mls completion fish > ~/.config/fish/completions/mls.fish
    """  # noqa: D301 - not raw: the first is the character that keeps the lines as they are
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    from mlsysops_cli.output import write

    program = os.path.basename(ctx.find_root().info_name or "mls")  # noqa: PTH119 - a name, not a file
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    write(get_completion_script(prog_name=program, complete_var=variable, shell=shell.value) + "\n")
