"""What the client says when something went wrong, as an error of ours with a way out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlsysops_core.errors import Conflict, MlsError, NotFound, Refused, TimedOut, Unreachable

if TYPE_CHECKING:
    from mlsysops_cli.testbed.incus.place import Place

__all__ = ["fault_of"]

#: What is said (of both clients, in any version, in lower case), the family it belongs to, and what to do. The first
#: one that fits is taken.
_KNOWN: tuple[tuple[str, type[MlsError], str], ...] = (
    (r"remote \S+ doesn't exist", NotFound, "`{client} remote list` shows those there are"),
    (
        r"permission denied|not accessible",
        Refused,
        "who may use it is in the group incus-admin (LXD: lxd): `sudo usermod -aG GROUP $USER`, and log in again",
    ),
    (
        r"restricted|nesting is forbidden|not allowed in project|of project \"",
        Refused,
        "project {project} does not allow it: allow it there (restricted.containers.nesting=allow), or use another --project",
    ),
    (
        r"x509|tls:",
        Refused,
        ("its certificate is not the one that was accepted: if that is right, `{client} remote remove {remote}` and add it "
        "again"),
    ),
    (
        r"not authorized|forbidden|unauthorized|not trusted|client certificate",
        Refused,
        ("let the server trust this client: `{client} config trust add` there gives a token, `{client} remote add {remote} "
        "TOKEN` takes it here"),
    ),
    (
        r"image server|remote image info|failed remote image download|failed parsing stream",
        Unreachable,
        "the server fetches images by itself: check its network, or import one there and name it with --image",
    ),
    (
        (r"unable to connect|connection refused|no route to host|no such host|i/o timeout|deadline exceeded|unix\.socket"
        r"|connection reset|eof$"),
        Unreachable,
        "is the server running? `{client} remote list` shows its address",
    ),
    (
        r"no space left|disk space|quota exceeded|disk quota|out of space",
        Refused,
        "make room: `{client} storage info POOL` says how much there is; five containers take about 3 GiB",
    ),
    (
        r"reached maximum|reached limit|would exceed|exceeds? (the )?(project|limit)",
        Refused,
        "five hosts take 8.5 GiB of memory and 4.5 cores: ask for more of project {project}, or use another --project",
    ),
    (r"kvm|qemu|not operational|vhost_vsock", Refused, "leave --vm out, or use a server with KVM and QEMU"),
    (r"asked for a vm but|asked for a container but", NotFound, "name an image of that type with --image"),
    (r"image not found|image couldn't be found|alias.*not found|no matching image", NotFound,
     "`{client} image list REMOTE:` shows those there are; choose one with --image"),
    (r"profile.*(not found|doesn't exist)", NotFound, "`{client} profile list {remote}: --project {project}` shows them"),
    (r"project not found|project.*doesn't exist", NotFound, "`{client} project list {remote}:` shows them"),
    (r"storage pool not found|network not found|instance not found|not found", NotFound, ""),
    (r"already exists", Conflict, ""),
    (r"forkstart|failed to start", MlsError, "`{client} info --show-log {remote}:INSTANCE` says why"),
    (r"timed? ?out", TimedOut, ""),
)  # fmt: skip


def fault_of(place: Place, what: str, said: str) -> MlsError:
    """Return the error that stands for what the client said.

    Args:
        place: Where it was done.
        what: What was tried, without its subject: ``make host mgmt``.
        said: The client's standard error.
    """
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    # Notes for newcomers and progress come on the same stream, and what a program says that runs in a host.
    own = [line.removeprefix("Error:").strip() for line in lines if line.startswith("Error:")]
    reason = (own[-1] if own else lines[-1] if lines else "no reason").rstrip(".")
    message = f"{place.remote}: cannot {what}: {reason}"
    for pattern, family, hint in _KNOWN if own else ():
        if re.search(pattern, reason, re.IGNORECASE):
            return family(message, hint=hint.format(client=place.client, remote=place.remote, project=place.project))
    return MlsError(message)
