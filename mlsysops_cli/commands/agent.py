"""`mls agent`: policies and configuration of running agents, and the tools to write policies with."""

from __future__ import annotations

from typing import Annotated

import typer

from mlsysops_cli.settings import settings_of

app = typer.Typer(help="Policies and configuration of running agents.", rich_markup_mode=None, add_completion=False)

__all__ = ["app"]

Agent = Annotated[
    str, typer.Option("--agent", metavar="TARGET", help="all, a tier, tier/name, or a label selector (key=value).")
]
OnlyAgent = Annotated[str | None, typer.Option("--agent", metavar="TARGET", help="Only these agents.")]
File = Annotated[str | None, typer.Option("--file", "-f", metavar="FILE", help="File with it; - is standard input.")]
Sent = Annotated[str | None, typer.Argument(metavar="NAME", help="Name of it, or the file's that was sent.")]
SentName = Annotated[str | None, typer.Option("--name", metavar="NAME", help="The same, as an option.")]
OptionalName = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Name of it; by default what the file is called.")
]
Revision = Annotated[
    int, typer.Option("--revision", min=0, metavar="N", help="Bring back this revision instead of sending a file.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check with the API and write nothing.")]
Plugin = Annotated[str, typer.Argument(metavar="NAME", help="Name of the plug-in.")]
Directory = Annotated[str, typer.Option("--dir", metavar="DIR", help="Directory to write to.")]


@app.command("set-policy")
def set_policy(
    ctx: typer.Context,
    agent: Agent,
    file: File = None,
    name: OptionalName = None,
    revision: Revision = 0,
    dry_run: DryRun = False,
    signature: Annotated[
        str | None,
        typer.Option("--signature", metavar="FILE", help="Its signature; by default FILE.sig where that is."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the agents have loaded it.")] = True,
    timeout: Annotated[float, typer.Option("--timeout", min=0, metavar="SECONDS", help="Longest wait.")] = 60.0,
) -> None:
    """Send a policy to running agents.

    It is loaded in a process of its own first; only when that works does it replace what ran before.
    """
    from mlsysops_cli.actions.agent import send

    send(
        settings_of(ctx),
        "policy",
        agent,
        file,
        name=name,
        revision=revision,
        signature=signature,
        dry_run=dry_run,
        wait=timeout if wait else None,
    )


@app.command("sign-policy")
def sign_policy(
    ctx: typer.Context,
    file: Annotated[str, typer.Option("--file", "-f", metavar="FILE", help="policy-<name>.py")],
    key: Annotated[str, typer.Option("--key", metavar="FILE", help="Private Ed25519 key, of OpenSSH or in PEM.")],
    name: OptionalName = None,
    output: Annotated[
        str | None, typer.Option("--output", metavar="FILE", help="Where to write; by default FILE.sig, - is stdout.")
    ] = None,
) -> None:
    """Sign a policy, for slices whose agents run only what somebody they trust has signed.

    The signature is for this text under this name. MLS_SIGNING_PASSPHRASE opens a key that has a passphrase.
    """
    from mlsysops_cli.actions.signing import sign_policy as run

    run(settings_of(ctx), file, key, name=name, output=output)


@app.command("delete-policy")
def delete_policy(
    ctx: typer.Context, agent: Agent, sent: Sent = None, name: SentName = None, dry_run: DryRun = False
) -> None:
    """Take a policy that was sent back from running agents."""
    from mlsysops_cli.actions.agent import delete

    delete(settings_of(ctx), "policy", agent, _one_name(sent, name), dry_run=dry_run)


@app.command("list-policies")
def list_policies(ctx: typer.Context, agent: OnlyAgent = None) -> None:
    """List the policies of running agents, as the agents report them."""
    from mlsysops_cli.actions.agent import list_policies as run

    run(settings_of(ctx), agent)


@app.command("set-config")
def set_config(
    ctx: typer.Context,
    agent: Agent,
    file: File = None,
    name: OptionalName = None,
    revision: Revision = 0,
    dry_run: DryRun = False,
) -> None:
    """Configure running agents: policies on or off, their configuration, the log level."""
    from mlsysops_cli.actions.agent import send

    send(
        settings_of(ctx),
        "config",
        agent,
        file,
        name=name,
        revision=revision,
        signature=None,
        dry_run=dry_run,
        wait=None,
    )


@app.command("delete-config")
def delete_config(
    ctx: typer.Context, agent: Agent, sent: Sent = None, name: SentName = None, dry_run: DryRun = False
) -> None:
    """Take a configuration back from running agents."""
    from mlsysops_cli.actions.agent import delete

    delete(settings_of(ctx), "config", agent, _one_name(sent, name), dry_run=dry_run)


@app.command("list-config")
def list_config(ctx: typer.Context, agent: OnlyAgent = None) -> None:
    """List the configurations that were sent to agents."""
    from mlsysops_cli.actions.agent import list_config as run

    run(settings_of(ctx), agent)


@app.command("new-policy")
def new_policy(ctx: typer.Context, name: Plugin, directory: Directory = ".") -> None:
    """Write the skeleton of a policy, a scenario for it, and its test."""
    from mlsysops_cli.actions.agent import new_plugin

    new_plugin(settings_of(ctx), "policy", name, directory)


@app.command("new-mechanism")
def new_mechanism(ctx: typer.Context, name: Plugin, directory: Directory = ".") -> None:
    """Write the skeleton of a mechanism, and its test."""
    from mlsysops_cli.actions.agent import new_plugin

    new_plugin(settings_of(ctx), "mechanism", name, directory)


@app.command("test-policy")
def test_policy(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="policy-<name>.py")],
    scenario: Annotated[str, typer.Option("--scenario", "-s", metavar="FILE", help="What it is shown; - is stdin.")],
    all_turns: Annotated[bool, typer.Option("--all", help="Also turns in which nothing was to be done.")] = False,  # noqa: PT028 - no test
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds that one turn may take.")] = 30.0,  # noqa: PT028
) -> None:
    """Replay telemetry through a policy, here, without a slice.

    It runs in a process with the limits that an agent sets.

    Exit code 0: it never failed; 1: it did.
    """
    from mlsysops_cli.actions.agent import test_policy as run

    if not run(settings_of(ctx), file, scenario, all_turns=all_turns, timeout=timeout):
        raise typer.Exit(1)


def _one_name(argument: str | None, option: str | None) -> str:
    """Return the name that was given in one of the two ways."""
    from mlsysops_core.errors import UsageError

    if bool(argument) == bool(option):
        raise UsageError("name it once: NAME, or --name NAME")
    return str(argument or option)
