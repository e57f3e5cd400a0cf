"""Where the hosts of a testbed are made, and which are its own: remembered before the first of them is made."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import TYPE_CHECKING

from mlsysops_core.errors import Conflict, InvalidInput, NotFound
from pydantic import BaseModel, ConfigDict, Field

from mlsysops_cli.files import write_private
from mlsysops_cli.testbed.incus.remotes import find

if TYPE_CHECKING:
    from pathlib import Path

    from mlsysops_cli.testbed.model import Machine, Testbed

__all__ = ["DEFAULT_IMAGE", "MARK", "Place"]

#: Under this alias both image servers, that of Incus and that of LXD, have a Debian 12 with systemd.
DEFAULT_IMAGE = "images:debian/12"
#: Key of an instance's configuration that says whose it is; only keys that begin with ``user.`` are free to use.
MARK = "user.mlsysops"


class Place(BaseModel):
    """Where hosts are made, and of what.

    Attributes:
        id: Of this testbed, in the names and in the configuration of its instances.
        client: Program that talks to the server: ``incus`` or ``lxc``.
        remote: The server, as the client calls it.
        project: Project of the server.
        profiles: Profiles that every host gets, in their order.
        image: With its remote.
        vm: Virtual machines instead of containers.
        ssh_jump: SSH destination through which the hosts are reached; empty where directly.
        addresses: IPv4 address of each host when it was seen last.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    client: str
    remote: str
    project: str
    profiles: tuple[str, ...]
    image: str
    vm: bool = False
    ssh_jump: str = ""
    addresses: dict[str, str] = Field(default_factory=dict)

    @staticmethod
    def file(bed: Testbed) -> Path:
        """Return where a testbed remembers it."""
        return bed.directory / "incus.json"

    @classmethod
    def of(
        cls,
        bed: Testbed,
        *,
        remote: str = "",
        project: str = "",
        profiles: tuple[str, ...] = (),
        image: str = "",
        vm: bool = False,
        ssh_jump: str = "",
    ) -> Place:
        """Return the place that a testbed has, or a new one; what is left empty is what is usual there.

        Raises:
            UsageError: No client is installed.
            NotFound: There is no such remote.
            Conflict: The testbed that is there was made elsewhere, or of something else.
            InvalidInput: What is remembered of it is damaged.
        """
        if cls.file(bed).is_file():
            place = cls.load(bed)
            asked = {"remote": remote, "project": project, "profiles": profiles, "image": image, "vm": vm}
            if image and ":" not in image:
                asked["image"] = f"{place.remote}:{image}"
            other = [name for name, value in asked.items() if value and value != getattr(place, name)]
            if other:
                raise Conflict(
                    f"a testbed of another {', '.join(other)} is up on {place.remote} (project {place.project})",
                    hint="remove it first with `mls testbed down`",
                )
            return place.model_copy(update={"ssh_jump": ssh_jump or place.ssh_jump})
        found = find(remote)
        if not image:
            if "images" not in found.known:
                raise NotFound(
                    f"{found.client} has no remote images, where a Debian comes from",
                    hint=f"add it (`{found.client} remote add`), or name an image with --image",
                )
            image = DEFAULT_IMAGE
        elif ":" not in image:
            image = f"{found.name}:{image}"  # otherwise the client would look where its default remote is
        elif image.partition(":")[0] not in found.known:
            raise NotFound(
                f"{found.client} has no remote {image.partition(':')[0]!r} for the image",
                hint=f"remotes: {', '.join(sorted(found.known))}",
            )
        return cls(
            id=secrets.token_hex(3), client=found.client, remote=found.name, project=project or found.project,
            profiles=profiles or ("default",), image=image, vm=vm, ssh_jump=ssh_jump,
        )  # fmt: skip

    @classmethod
    def load(cls, bed: Testbed) -> Place:
        """Read what a testbed remembers.

        Raises:
            InvalidInput: The file is damaged.
        """
        path = cls.file(bed)
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as exc:
            raise InvalidInput(
                f"{path} is damaged: {str(exc).splitlines()[0]}",
                hint=f"remove the instances that carry {MARK} by hand, and then {bed.directory}",
            ) from exc

    def save(self, bed: Testbed) -> None:
        """Write it down, mode 0600, in one step."""
        write_private(self.file(bed), json.dumps(self.model_dump(), indent=1) + "\n")

    @property
    def prefix(self) -> str:
        """With what the names of this testbed's instances begin."""
        return f"mls-{self.id}-"

    def instance(self, machine: Machine) -> str:
        """Return the name of a host's instance."""
        return f"{self.prefix}{machine.name}"

    def hardware_address(self, machine: Machine) -> str:
        """Return the MAC address of a host: its own also after its cable was pulled, so that its address stays.

        The first three octets are those that LXC has for its guests.
        """
        tail = hashlib.sha256(self.instance(machine).encode()).digest()
        return "00:16:3e:" + ":".join(f"{octet:02x}" for octet in tail[:3])
