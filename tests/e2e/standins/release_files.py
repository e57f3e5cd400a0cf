"""Makes the released files that a server of stand-ins serves: ``k3s``, ``karmadactl``, definitions, images, checksums."""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from pathlib import Path

from release_server import ReleaseServer

from mlsysops_cli.runtime import build_archives
from mlsysops_cli.runtime.target import Target

HERE = Path(__file__).parent
#: A release that nobody pins: the stand-in cannot have the checksum of the real program.
VERSION = "v1.36.4+k3s99"
K3S, KARMADA = f"k3s/{VERSION}", "karmada/v1.18.2"


def k3s_program(version: str = VERSION, broken: str = "") -> bytes:
    """Return the stand-in for k3s: one executable file for this machine's Python, with the environment in it.

    Args:
        version: What it says that it is.
        broken: What it logs instead of running; it runs where empty.
    """
    import platform

    libc = "glibc " + platform.libc_ver()[1]
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    target = Target.of({"python": python, "machine": platform.machine(), "libc": libc})
    buffer = io.BytesIO(b"#!/usr/bin/python3\n")
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr("__main__.py", (HERE / "k3s.py").read_bytes())
        for name in ("run.py", "contained.py", "k3s_life.py"):
            archive.writestr(name, (HERE / name).read_bytes())
        archive.writestr("VERSION", version)
        if broken:
            archive.writestr("BROKEN", broken)
        for number, part in enumerate(build_archives(target, lambda _: None)):
            archive.write(part.path, f"{number}.tar.gz")
    return buffer.getvalue()


def _tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def publish_k3s(server: ReleaseServer, version: str = VERSION, broken: str = "") -> None:
    """Put a version of k3s on a server, as it is released."""
    place = f"k3s/{version}"
    server.publish(f"{place}/k3s", k3s_program(version, broken), sums="sha256sum-amd64.txt")
    images = f"images of the stand-in {version}\n".encode() * 1000
    server.publish(f"{place}/k3s-airgap-images-amd64.tar.zst", images, sums="sha256sum-amd64.txt")


def publish(server: ReleaseServer) -> None:
    """Put everything on a server, as it is released."""
    publish_k3s(server)
    tool = b"#!/usr/bin/python3\n" + (HERE / "karmadactl.py").read_bytes()
    name = "karmadactl-linux-amd64.tgz"
    server.publish(f"{KARMADA}/{name}", _tar({"LICENSE": b"", "karmadactl": tool}), sums=f"{name}.sha256")
    server.publish(f"{KARMADA}/crds.tar.gz", _tar({"crds/bases/x.yaml": b""}))
