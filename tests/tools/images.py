"""Builds the images of the agents and the northbound API with whichever of podman, buildah and docker is there.

    python tests/tools/images.py [--platform linux/arm64] [--base-image IMAGE] [--archives DIR] [--option=--volume=…]

With ``--archives`` each image is also written as an archive that containerd imports (k3s: ``mls_artifacts_dir``/images).
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("agents", "northbound")
BUILDERS = ("podman", "buildah", "docker")
#: 2026-01-01: files of an image have this date, so that the same source makes the same image.
EPOCH = "1767225600"


@dataclass(frozen=True)
class Builder:
    """A program that builds images.

    Attributes:
        name: Its name.
    """

    name: str

    def build(self, part: str, tag: str, options: argparse.Namespace) -> list[str]:
        """Command that builds a part's image."""
        command = [self.name, "build", "--file", f"{part}/Dockerfile", "--tag", tag]
        if self.name != "docker":  # keeps HEALTHCHECK, and gives layers one date
            command += ["--format", "docker", "--timestamp", EPOCH]
        if options.platform:
            command += ["--platform", options.platform]
        arguments = {"VERSION": options.version, "SOURCE_DATE_EPOCH": EPOCH, "BASE_IMAGE": options.base_image}
        if os.environ.get("PIP_INDEX_URL"):
            arguments["PIP_INDEX_URL"] = os.environ["PIP_INDEX_URL"]
        for key, value in arguments.items():
            if value:
                command += ["--build-arg", f"{key}={value}"]
        return [*command, *options.option, "."]

    def save(self, tag: str, archive: Path) -> list[str]:
        """Command that writes an image into an archive."""
        if self.name == "docker":
            return ["docker", "save", "--output", str(archive), tag]
        if self.name == "podman":
            return ["podman", "save", "--format", "oci-archive", "--output", str(archive), tag]
        return ["buildah", "push", tag, f"oci-archive:{archive}:{tag}"]


def find_builder() -> Builder | None:
    """The first builder that is there and works."""
    for name in BUILDERS:
        if shutil.which(name):
            asked = subprocess.run([name, "info"], capture_output=True, timeout=60, check=False)
            if asked.returncode == 0:
                return Builder(name)
    return None


def architecture(wanted: str) -> str:
    """What the name of an archive ends with, by which a host of another architecture is spared it.

    Args:
        wanted: Platform that the images are built for (``linux/arm/v7``); this machine's where empty.
    """
    name = wanted.split("/")[1] if wanted.count("/") else wanted or platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64", "arm": "armhf", "armv7l": "armhf", "armv8l": "armhf"}.get(name, name)


def version() -> str:
    """Version of this software."""
    text = (ROOT / "mlsysops_cli/__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    assert found, "no version"
    return found[1]


def main() -> int:
    """Build; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--platform", default="", help="such as linux/arm64; this machine's by default")
    parser.add_argument("--base-image", default="", help="instead of the one that the Dockerfiles name")
    parser.add_argument("--version", default=version())
    parser.add_argument("--archives", type=Path, help="directory for archives")
    parser.add_argument("--option", action="append", default=[], help="passed on to the builder; may be repeated")
    options = parser.parse_args()
    builder = find_builder()
    if builder is None:
        print(
            f"error: none of {', '.join(BUILDERS)} works on this machine: install one (Debian: apt install buildah)",
            file=sys.stderr,
        )
        return 6
    for part in PARTS:
        # The name that containerd gives an image without a registry, which is how the manifests name it by default.
        tag = f"docker.io/library/mlsysops-{part}:{options.version}"
        commands = [builder.build(part, tag, options)]
        if options.archives:
            options.archives.mkdir(parents=True, exist_ok=True)
            archive = options.archives / f"mlsysops-{part}-{options.version}-{architecture(options.platform)}.tar"
            archive.unlink(missing_ok=True)
            commands.append(builder.save(tag, archive))
        for command in commands:
            print("$", " ".join(command), file=sys.stderr)
            done = subprocess.run(command, cwd=ROOT, check=False)
            if done.returncode:
                print(f"error: {command[0]} {command[1]} failed for {part}", file=sys.stderr)
                return 70
        print(tag)
    return 0


if __name__ == "__main__":
    sys.exit(main())
