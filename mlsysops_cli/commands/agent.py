"""`mls agent`: policies and configuration of running agents.

The names are promised; this version cannot do it yet and says so, with the exit code for "refused".
"""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

app = typer.Typer(help="Policies and configuration of running agents.", rich_markup_mode=None, add_completion=False)

__all__ = ["app", "refuse"]

Agent = Annotated[str | None, typer.Option("--agent", metavar="TARGET", help="Agent, tier or label selector.")]
File = Annotated[str | None, typer.Option("--file", metavar="FILE", help="File with it.")]
Name = Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name of it.")]


def refuse(what: str, instead: str = "") -> NoReturn:
    """Say that this version cannot do something.

    Raises:
        Refused: Always.
    """
    from mlsysops_core.errors import Refused

    from mlsysops_cli import __version__

    raise Refused(f"mls {__version__} has no {what} yet", hint=instead or "see the change log for when it comes")


_POLICIES = "put the file into the agent's plugin directory (plugin_dirs of its configuration) and restart the agent"


@app.command("set-policy")
def set_policy(agent: Agent = None, file: File = None) -> None:
    """Send a policy to running agents (not in this version)."""
    refuse("way to change the policies of running agents", _POLICIES)


@app.command("delete-policy")
def delete_policy(agent: Agent = None, name: Name = None) -> None:
    """Take a policy from running agents (not in this version)."""
    refuse("way to change the policies of running agents", _POLICIES)


@app.command("list-policies")
def list_policies(agent: Agent = None) -> None:
    """List the policies of running agents (not in this version)."""
    refuse(
        "way to list the policies of running agents", "their logs name the policies they loaded: `mls framework logs`"
    )


@app.command("set-config")
def set_config(agent: Agent = None, file: File = None) -> None:
    """Configure running agents (not in this version)."""
    refuse(
        "way to change the configuration of running agents",
        "change the inventory and run `mls framework deploy-all` again",
    )


@app.command("delete-config")
def delete_config(agent: Agent = None, name: Name = None) -> None:
    """Undo a configuration (not in this version)."""
    refuse(
        "way to change the configuration of running agents",
        "change the inventory and run `mls framework deploy-all` again",
    )
