"""The image that every host boots from: a small Debian of this machine's release, built once and kept as a tarball."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from mlsysops_core.errors import MlsError, Unreachable

from mlsysops_cli.testbed.tools import run

if TYPE_CHECKING:
    from mlsysops_cli.testbed.nspawn.layout import Layout

__all__ = ["ensure_base", "tarball"]

#: What a freshly installed server has; nothing that the framework needs beyond Python is added.
PACKAGES = (
    "ca-certificates", "dbus", "iproute2", "iputils-ping", "libpam-systemd", "nftables", "openssh-server", "procps",
    "python3", "sudo", "systemd", "systemd-sysv",
)  # fmt: skip
#: Units that have no business, or cannot work, in a container.
MASKED = (
    "apt-daily-upgrade.timer", "apt-daily.timer", "console-getty.service", "e2scrub_all.timer", "e2scrub_reap.service",
    "fstrim.timer", "getty.target", "systemd-modules-load.service", "systemd-networkd.service", "systemd-pstore.service",
    "systemd-resolved.service", "systemd-timesyncd.service", "systemd-udevd.service",
)  # fmt: skip
INIT = "/usr/local/sbin/testbed-init"
# systemd-nspawn mounts the controllers of cgroup v1 read-only, and limits of units would be ignored in silence. Made
# writable here, before systemd starts and inside the host's own cgroup namespace, they hold.
_INIT = """\
#!/bin/sh
for controller in /sys/fs/cgroup/*/; do
    case $controller in */systemd/|*/unified/) continue ;; esac
    mountpoint -q "$controller" && mount -o remount,bind,rw,nosuid,nodev,noexec "$controller"
done
exec /lib/systemd/systemd "$@"
"""
_SSHD = "UseDNS no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
_SOURCES = ("sources.list.d/debian.sources", "sources.list.d/ubuntu.sources", "sources.list")
_READY = ".testbed-image"


def tarball(bed: Layout) -> Path:
    """Return where the image of this release and recipe is kept."""
    recipe = "\n".join([_release(), _sources().read_text(encoding="utf-8"), *PACKAGES, *MASKED, _INIT, _SSHD])
    return bed.cache / f"image-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.tar.zst"


def ensure_base(bed: Layout) -> bool:
    """Unpack the image, building it where it is not kept yet; return whether it was built.

    Raises:
        Unreachable: It cannot be built: the packages that it is made of cannot be had.
    """
    kept = tarball(bed)
    marker = bed.base / _READY
    if marker.is_file() and marker.read_text(encoding="utf-8") == kept.name:
        return False
    _remove(bed.base)
    bed.base.mkdir(parents=True)
    built = not kept.is_file()
    if built:
        _build(bed, kept)
    else:
        run("tar", "--numeric-owner", "--xattrs", "-C", str(bed.base), "-I", "zstd", "-xpf", str(kept), timeout=300)
    authorized = bed.base / "root/.ssh/authorized_keys"
    authorized.parent.mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(bed.key.with_suffix(".pub"), authorized)
    authorized.chmod(0o600)
    marker.write_text(kept.name, encoding="utf-8")
    return built


def _build(bed: Layout, kept: Path) -> None:
    root = str(bed.base)
    argv = ("mmdebstrap", "--mode=root", "--variant=apt", f"--include={','.join(PACKAGES)}", _release(), root)
    try:
        run(*argv, str(_sources()), timeout=900)
    except MlsError as exc:
        hint = f"it is made of the packages that {_sources()} names: check the network, and `apt-get update`"
        raise Unreachable(f"the hosts' image cannot be built: {exc.message}", hint=hint) from exc
    _prepare(bed.base)
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.with_suffix(".partial")
    run("tar", "--numeric-owner", "--xattrs", "-C", root, "-I", "zstd -T0 -6", "-cpf", str(partial), ".", timeout=300)
    partial.replace(kept)


def _prepare(root: Path) -> None:
    for path in [
        *root.glob("etc/ssh/ssh_host_*"),
        *root.glob("var/cache/apt/*.bin"),
        *root.glob("var/lib/dbus/machine-id"),
    ]:
        path.unlink()
    (root / "etc/machine-id").write_text("", encoding="ascii")  # every host makes its own at its first boot
    (root / "etc/ssh/sshd_config.d/testbed.conf").write_text(_SSHD, encoding="ascii")
    init = root / INIT.removeprefix("/")
    init.write_text(_INIT, encoding="ascii")
    init.chmod(0o755)
    for unit in MASKED:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    for path in root.glob("etc/apt/sources.list*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (root / "etc/apt/sources.list.d").mkdir()
    shutil.copy(_sources(), root / "etc/apt" / ("sources.list.d" if _sources().suffix == ".sources" else ""))


def _sources() -> Path:
    for name in _SOURCES:
        path = Path("/etc/apt") / name
        if path.is_file():
            return path
    raise MlsError("this machine has no APT sources", hint="a testbed's image is built from Debian packages")


def _release() -> str:
    for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition("=")
        if key == "VERSION_CODENAME":
            return value.strip('"')
    raise MlsError("/etc/os-release names no release", hint="a testbed's image is built from Debian packages")


def _remove(directory: Path) -> None:
    if directory.exists():
        run("rm", "-rf", "--one-file-system", str(directory))
