"""`mls framework`: deploy a slice, look at it, remove it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from mlsysops_cli.commands.lifecycle import app as lifecycle
from mlsysops_cli.commands.options import AcceptKeys, Check, Inventory, Limit, SliceName, Vault
from mlsysops_cli.settings import settings_of

app = typer.Typer(
    help="Deploy a slice, look at it, upgrade it, remove it.", rich_markup_mode=None, add_completion=False
)

__all__ = ["app"]

app.add_typer(lifecycle)  # without a name: its commands are this group's

Descriptions = Annotated[
    str | None,
    typer.Option(
        "--path", metavar="DIR", help="Descriptions of nodes, clusters, continuum that replace rendered ones."
    ),
]
Diff = Annotated[bool, typer.Option("--diff", help="Show the differences.")]
Tags = Annotated[
    str,
    typer.Option(
        "--tags", metavar="TAGS", help="Only these parts: controlplane, nodes, agents, services, ready, far_edge."
    ),
]
StartAt = Annotated[str, typer.Option("--start-at-task", metavar="TASK", help="Start at the task of this name.")]


def _deploy(
    ctx: typer.Context, part: str, name: str | None = None, *, inventory: str | None, path: str | None, check: bool,
    diff: bool, vault: str | None, accept: bool, limit: str = "", tags: str = "", start_at_task: str = "",
    take_over: bool = False,
) -> None:  # fmt: skip
    from mlsysops_cli.reading import begin_reading

    with begin_reading(inventory, vault) if inventory else nullcontext() as reading:
        from mlsysops_cli.actions.framework.deploy import DeployOptions, deploy  # takes as long as reading does

        options = DeployOptions(
            inventory=inventory,
            descriptions=path,
            check=check,
            diff=diff,
            limit=limit,
            tags=[tag.strip() for tag in tags.split(",") if tag.strip()],
            start_at_task=start_at_task,
            vault_password_file=vault,
            accept_host_keys=accept,
            take_over=take_over,
        )
        deploy(settings_of(ctx), options, part=part, name=name, reading=reading)


@app.command("deploy-all")
def deploy_all(
    ctx: typer.Context,
    inventory: Inventory = None,
    path: Descriptions = None,
    check: Check = False,
    diff: Diff = False,
    limit: Limit = "",
    tags: Tags = "",
    start_at_task: StartAt = "",
    vault_password_file: Vault = None,
    accept_host_keys: AcceptKeys = False,
    take_ownership: Annotated[
        bool,
        typer.Option(
            "--take-ownership",
            help="Take over objects of the clusters that others made under names of ours; they go with the slice.",
        ),
    ] = False,
) -> None:
    """Deploy a whole slice; again and again without harm."""
    _deploy(
        ctx, "all", inventory=inventory, path=path, check=check, diff=diff, vault=vault_password_file,
        accept=accept_host_keys, limit=limit, tags=tags, start_at_task=start_at_task, take_over=take_ownership,
    )  # fmt: skip


@app.command("deploy-services")
def deploy_services(
    ctx: typer.Context,
    inventory: Inventory = None,
    path: Descriptions = None,
    check: Check = False,
    diff: Diff = False,
    vault_password_file: Vault = None,
    accept_host_keys: AcceptKeys = False,
) -> None:
    """Deploy the northbound API of the management host."""
    _deploy(
        ctx, "services", inventory=inventory, path=path, check=check, diff=diff, vault=vault_password_file,
        accept=accept_host_keys,
    )  # fmt: skip


@app.command("deploy-continuum")
def deploy_continuum(
    ctx: typer.Context,
    inventory: Inventory = None,
    path: Descriptions = None,
    check: Check = False,
    diff: Diff = False,
    vault_password_file: Vault = None,
    accept_host_keys: AcceptKeys = False,
) -> None:
    """Deploy the continuum's control plane and agent."""
    _deploy(
        ctx, "continuum", inventory=inventory, path=path, check=check, diff=diff, vault=vault_password_file,
        accept=accept_host_keys,
    )  # fmt: skip


@app.command("deploy-cluster")
def deploy_cluster(
    ctx: typer.Context,
    cluster: Annotated[str | None, typer.Argument(metavar="CLUSTER", help="Only this cluster.")] = None,
    inventory: Inventory = None,
    path: Descriptions = None,
    check: Check = False,
    diff: Diff = False,
    vault_password_file: Vault = None,
    accept_host_keys: AcceptKeys = False,
) -> None:
    """Deploy the control planes and agents of clusters."""
    _deploy(
        ctx, "cluster", cluster, inventory=inventory, path=path, check=check, diff=diff, vault=vault_password_file,
        accept=accept_host_keys,
    )  # fmt: skip


@app.command("deploy-node")
def deploy_node(
    ctx: typer.Context,
    node: Annotated[str | None, typer.Argument(metavar="NODE", help="Only this node.")] = None,
    inventory: Inventory = None,
    path: Descriptions = None,
    check: Check = False,
    diff: Diff = False,
    vault_password_file: Vault = None,
    accept_host_keys: AcceptKeys = False,
) -> None:
    """Deploy the kubelets and agents of nodes."""
    _deploy(
        ctx, "node", node, inventory=inventory, path=path, check=check, diff=diff, vault=vault_password_file,
        accept=accept_host_keys,
    )  # fmt: skip


@app.command("fetch-artifacts")
def fetch_artifacts(
    ctx: typer.Context,
    inventory: Inventory = None,
    output_dir: Annotated[
        str | None, typer.Option("--output-dir", metavar="DIR", help="Where to; mls_artifacts_dir by default.")
    ] = None,
    arch: Annotated[
        list[str] | None,
        typer.Option(
            "--arch", metavar="ARCH", help="amd64, arm64 or armhf, repeatable; those of the hosts by default."
        ),
    ] = None,
    vault_password_file: Vault = None,
) -> None:
    """Fetch k3s and Karmada into a directory, checked, for hosts that have no internet."""
    from mlsysops_cli.actions.framework.artifacts import fetch
    from mlsysops_cli.actions.framework.chosen import default_inventory

    settings = settings_of(ctx)
    chosen = default_inventory(settings, inventory)
    fetch(settings, chosen, output_dir, arch or [], vault_password_file=vault_password_file)


@app.command("create-app-test-description")
@app.command("create-test-app-description", hidden=True)
def create_app_test_description(
    ctx: typer.Context,
    inventory: Inventory = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="FILE", help="Where to write it; - is standard output.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    vault_password_file: Vault = None,
) -> None:
    """Write the description of the test application for this slice."""
    from mlsysops_cli.actions.framework.show import create_test_description

    create_test_description(settings_of(ctx), inventory, file, vault=vault_password_file, force=force)


@app.command()
def render(
    ctx: typer.Context,
    output_dir: Annotated[str, typer.Option("--output-dir", metavar="DIR", help="Where to write the tree.")],
    inventory: Inventory = None,
    path: Descriptions = None,
    gather_facts: Annotated[
        bool,
        typer.Option("--gather-facts", help="Ask hosts over SSH for their hardware (local ones are always asked)."),
    ] = False,
    vault_password_file: Vault = None,
    preflight_plan: Annotated[
        str | None,
        typer.Option("--preflight-plan", metavar="FILE", help="Also write what the playbook preflight.yml takes."),
    ] = None,
) -> None:
    """Render an inventory to descriptions, manifests and config files."""
    from mlsysops_cli.actions.framework.show import render as action

    action(
        settings_of(ctx), inventory, output_dir, path, gather=gather_facts, vault=vault_password_file,
        plan=preflight_plan,
    )  # fmt: skip


@app.command()
def diff(
    ctx: typer.Context, inventory: Inventory = None, path: Descriptions = None, vault_password_file: Vault = None
) -> None:
    """Show how an inventory differs from the slice as it is: exit code 0 same, 1 differs."""
    from mlsysops_cli.actions.framework.show import diff as action

    if action(settings_of(ctx), inventory, path, vault_password_file):
        raise typer.Exit(1)


@app.command()
def status(
    ctx: typer.Context, slice_name: SliceName = None, inventory: Inventory = None, vault_password_file: Vault = None
) -> None:
    """Show the processes and the state of a slice; exit code 1 where something does not run."""
    from mlsysops_cli.actions.framework.change import HostAccess
    from mlsysops_cli.actions.framework.status import status as action

    if not action(settings_of(ctx), slice_name, HostAccess(inventory, vault_password_file)):
        raise typer.Exit(1)


@app.command()
def doctor(ctx: typer.Context, slice_name: SliceName = None) -> None:
    """Check this machine and a slice, and say how to mend what is wrong; exit code 1 where something is."""
    from mlsysops_cli.actions.framework.doctor import doctor as action

    if not action(settings_of(ctx), slice_name):
        raise typer.Exit(1)


@app.command()
def preflight(
    ctx: typer.Context,
    inventory: Inventory = None,
    limit: Limit = "",
    vault_password_file: Vault = None,
    accept_host_keys: AcceptKeys = False,
) -> None:
    """Look at the hosts of an inventory, and say what keeps one from taking its part; exit code 1 where something does."""
    from mlsysops_cli.actions.framework.preflight import PreflightOptions
    from mlsysops_cli.actions.framework.preflight import preflight as action

    options = PreflightOptions(inventory, limit, vault_password_file, accept_host_keys)
    if not action(settings_of(ctx), options):
        raise typer.Exit(1)


@app.command()
def logs(
    ctx: typer.Context,
    process: Annotated[
        str | None, typer.Argument(metavar="PROCESS", help="A process, or a part of its name; all by default.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines are added.")] = False,
    tail: Annotated[int, typer.Option("--tail", min=-1, metavar="LINES", help="Last lines; -1 is all.")] = 100,
    slice_name: SliceName = None,
    inventory: Inventory = None,
    vault_password_file: Vault = None,
) -> None:
    """Print the logs of a slice's processes: files of this machine, journals of hosts over SSH."""
    from mlsysops_cli.actions.framework.change import HostAccess
    from mlsysops_cli.actions.framework.logs import logs as action

    access = HostAccess(inventory, vault_password_file)
    action(settings_of(ctx), slice_name, process, access, follow=follow, tail=tail)


@app.command("destroy-all")
def destroy_all(
    ctx: typer.Context,
    slice_name: SliceName = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    inventory: Annotated[
        str | None,
        typer.Option("--inventory", "-i", metavar="FILE", help="Names the slice, and how its hosts are reached now."),
    ] = None,
    vault_password_file: Vault = None,
    remove_applications: Annotated[
        bool,
        typer.Option(
            "--remove-applications", help="On clusters that exist: the applications too; they are kept otherwise."
        ),
    ] = False,
    purge: Annotated[
        bool,
        typer.Option("--purge", help="On clusters that exist: the definitions of our kinds and our namespaces too."),
    ] = False,
    abandon: Annotated[
        bool,
        typer.Option(
            "--abandon",
            help="Leave hosts, and APIs of clusters that exist, that do not answer as they are; what is left is listed.",
        ),
    ] = False,
) -> None:
    """Remove a slice: its pods, processes, files and addresses. Clusters that exist stay."""
    from mlsysops_cli.actions.framework.destroy import Extent, destroy

    destroy(
        settings_of(ctx),
        slice_name,
        yes=yes,
        inventory=inventory,
        vault_password_file=vault_password_file,
        extent=Extent(remove_applications, purge, abandon),
    )
