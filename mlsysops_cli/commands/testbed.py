"""`mls testbed`: machines for trying a slice out, made, broken and removed."""

from __future__ import annotations

from typing import Annotated

import typer

from mlsysops_cli.settings import settings_of

app = typer.Typer(
    help="Make machines for trying slices out, break them, remove them.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)

__all__ = ["app"]

Backend = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="NAME",
        help="nspawn (systemd-nspawn on this machine, the default) or incus (a server of Incus or LXD).",
    ),
]
Install = Annotated[bool, typer.Option("--install", help="nspawn: install the Debian packages that are missing.")]
Subnet = Annotated[
    str,
    typer.Option(
        "--subnet", metavar="CIDR", help="nspawn: private network of the hosts, a /24; 10.78.0.0/24 by default."
    ),
]
Isolated = Annotated[bool, typer.Option("--isolated", help="nspawn: the hosts reach only each other and this machine.")]
Remote = Annotated[
    str,
    typer.Option(
        "--remote", metavar="NAME", help="incus: the server, a remote of the client `incus` or `lxc`; its default one."
    ),
]
Project = Annotated[
    str, typer.Option("--project", metavar="NAME", help="incus: project of the server; the remote's own by default.")
]
Profile = Annotated[
    list[str] | None,
    typer.Option(
        "--profile", metavar="NAME", help="incus: profile of the hosts; repeat for more; `default` by default."
    ),
]
Image = Annotated[
    str,
    typer.Option(
        "--image", metavar="IMAGE", help="incus: Debian or Ubuntu image with systemd; images:debian/12 by default."
    ),
]
VirtualMachines = Annotated[bool, typer.Option("--vm", help="incus: virtual machines instead of containers.")]
Jump = Annotated[
    str,
    typer.Option(
        "--ssh-jump", metavar="USER@HOST", help="incus: reach the hosts through this machine, by SSH's ProxyJump."
    ),
]


@app.command()
def up(
    ctx: typer.Context,
    backend: Backend = "",
    install: Install = False,
    isolated: Isolated = False,
    subnet: Subnet = "",
    remote: Remote = "",
    project: Project = "",
    profile: Profile = None,
    image: Image = "",
    vm: VirtualMachines = False,
    ssh_jump: Jump = "",
) -> None:
    """Bring up five systemd hosts, and print the path of their inventory.

    The hosts are mgmt, server, worker1, worker2 and edge, opened by an SSH key. On this machine they get a private bridge,
    and making them needs root and Debian or Ubuntu. On a server of Incus or LXD they get what their profiles say.
    """
    from mlsysops_cli.output import emit_document
    from mlsysops_cli.testbed.bed import status as hosts
    from mlsysops_cli.testbed.bed import up as action
    from mlsysops_cli.testbed.choice import Wish, chosen
    from mlsysops_cli.testbed.model import Testbed

    settings = settings_of(ctx)
    bed = Testbed.here()
    wish = Wish(
        backend=backend, install=install, isolated=isolated, subnet=subnet, remote=remote, project=project,
        profiles=tuple(profile or ()), image=image, vm=vm, ssh_jump=ssh_jump,
    )  # fmt: skip
    action(bed, chosen(bed, wish), settings.note, install=install)
    document = {"inventory": str(bed.inventory), "key": str(bed.key), "items": hosts(bed)}
    emit_document(settings, document, kind="inventory", name="inventory", text=f"{bed.inventory}\n")


@app.command()
def down(
    ctx: typer.Context,
    purge: Annotated[bool, typer.Option("--purge", help="Also remove the kept image.")] = False,
) -> None:
    """Remove the hosts and everything that was made for them."""
    from mlsysops_cli.output import emit_document
    from mlsysops_cli.testbed.bed import down as action
    from mlsysops_cli.testbed.model import Testbed

    settings = settings_of(ctx)
    there = action(Testbed.here(), purge=purge)
    settings.note("the testbed is gone" if there else "there is no testbed")
    if settings.structured:
        emit_document(settings, {"removed": there}, kind="testbed")


@app.command()
def status(ctx: typer.Context) -> None:
    """Show the hosts; exit code 1 where one is off or cut off."""
    from mlsysops_cli.output import Column, Table, emit
    from mlsysops_cli.testbed.bed import status as action
    from mlsysops_cli.testbed.model import Testbed

    rows = action(Testbed.here())
    table = Table(
        kind="host",
        columns=(
            Column("NAME", "name"),
            Column("ADDRESS", "address"),
            Column("POWER", "power"),
            Column("LINK", "link"),
            Column("MEMORY", lambda row: f"{row['memory'] // 1024**2}Mi"),
            Column("CPU", "cpu"),
            Column("SSH", "ssh", wide=True),
        ),
        empty="there is no testbed: `mls testbed up` makes one",
    )
    emit(settings_of(ctx), {"items": rows}, table)
    if not rows or any(row["power"] == "off" or row["link"] == "down" for row in rows):
        raise typer.Exit(1)


@app.command()
def ctl(
    ctx: typer.Context,
    action: Annotated[
        str,
        typer.Argument(
            metavar="ACTION", help="crash (power cut), stop, start, cut, heal, partition (two hosts), mend."
        ),
    ],
    hosts: Annotated[list[str] | None, typer.Argument(metavar="HOST...", help="The hosts it concerns.")] = None,
) -> None:
    """Break a host or its link, and mend it again."""
    from mlsysops_cli.output import emit_document
    from mlsysops_cli.testbed.bed import fault
    from mlsysops_cli.testbed.model import Testbed

    settings = settings_of(ctx)
    settings.note(fault(Testbed.here(), action, hosts or []))
    if settings.structured:
        emit_document(settings, {"action": action, "hosts": hosts or []}, kind="testbed")
