"""Which backend makes the testbed: what a person asks for, or what made the one that is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlsysops_core.errors import Conflict, UsageError

from mlsysops_cli.testbed.incus import Incus, Place
from mlsysops_cli.testbed.nspawn import Nspawn
from mlsysops_cli.testbed.nspawn.layout import Layout

if TYPE_CHECKING:
    from mlsysops_cli.testbed.backend import Backend
    from mlsysops_cli.testbed.model import Testbed

__all__ = ["BACKENDS", "Wish", "chosen", "remembered"]

BACKENDS = ("nspawn", "incus")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asks for; empty where it is left to us.

    Attributes:
        backend: One of `BACKENDS`; that of the testbed that is there, or nspawn, where empty.
        install: nspawn: install Debian packages that are missing.
        isolated: nspawn: the hosts reach each other and this machine only.
        subnet: nspawn: the private network, an IPv4 /24.
        remote: Incus: server, as its client calls it.
        project: Incus: project of the server.
        profiles: Incus: profiles of the hosts.
        image: Incus: image of the hosts.
        vm: Incus: virtual machines instead of containers.
        ssh_jump: Incus: SSH destination through which the hosts are reached.
    """

    backend: str = ""
    install: bool = False
    isolated: bool = False
    subnet: str = ""
    remote: str = ""
    project: str = ""
    profiles: tuple[str, ...] = ()
    image: str = ""
    vm: bool = False
    ssh_jump: str = ""


#: Attributes of a wish that only one backend knows, and their options.
_OPTIONS = {
    "nspawn": {"install": "--install", "isolated": "--isolated", "subnet": "--subnet"},
    "incus": {
        "remote": "--remote", "project": "--project", "profiles": "--profile", "image": "--image", "vm": "--vm",
        "ssh_jump": "--ssh-jump",
    },
}  # fmt: skip


def chosen(bed: Testbed, wish: Wish) -> Backend:
    """Return the backend of a testbed that is to be made, or to be completed.

    Raises:
        UsageError: No such backend, an option of another one, or no program to reach it with.
        Conflict: The testbed that is there was made in another way.
        InvalidInput: The subnet is none.
        NotFound: There is no such remote.
    """
    if wish.backend and wish.backend not in BACKENDS:
        raise UsageError(f"no such backend {wish.backend!r}", hint=f"one of: {', '.join(BACKENDS)}")
    there = _there(bed)
    name = wish.backend or there or "nspawn"
    for other, options in _OPTIONS.items():
        strange = [option for attribute, option in options.items() if other != name and getattr(wish, attribute)]
        if strange:
            raise UsageError(f"{', '.join(strange)}: only with --backend {other}", hint=f"the backend is {name}")
    if there and name != there:
        raise Conflict(f"a testbed of the backend {there} is up", hint="remove it first with `mls testbed down`")
    if name == "nspawn":
        return Nspawn(Layout.of(bed, wish.subnet), isolated=wish.isolated)
    place = Place.of(
        bed, remote=wish.remote, project=wish.project, profiles=wish.profiles, image=wish.image, vm=wish.vm,
        ssh_jump=wish.ssh_jump,
    )  # fmt: skip
    return Incus(bed, place)


def remembered(bed: Testbed) -> Backend:
    """Return the backend that made the testbed.

    Raises:
        InvalidInput: What is remembered of it is damaged.
    """
    if _there(bed) == "incus":
        return Incus(bed, Place.load(bed))
    return Nspawn(Layout.of(bed))


def _there(bed: Testbed) -> str:
    if Place.file(bed).is_file():
        return "incus"
    return "nspawn" if (bed.directory / "subnet").is_file() else ""
