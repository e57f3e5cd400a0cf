"""Our own wheel: built from the checkout, or put together again from what is installed."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

from mlsysops_core.errors import MlsError, TimedOut, UsageError
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mlsysops_cli
from mlsysops_cli import __version__
from mlsysops_cli.assets import assets_root

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NAME", "constraints", "make_wheel", "pip", "requirements", "source_digest"]

NAME = "mlsysops-cli"
_CHECKOUT = ("mlsysops_cli", "agents", "northbound", "templates", "roles", "playbooks", "inventories", "pyproject.toml")
_PACKAGES = (
    "mlsysops_cli", "mlsysops_core", "mlsysops_agents", "mlsysops_embedded", "mlsysops_testapp", "mlsysops_northbound",
)  # fmt: skip


@cache
def constraints(extras: str) -> tuple[str, ...]:
    """Return the versions that this environment has, and that were therefore tried together: ``name==version``.

    Only of what our extras stand on: what else is installed here does not concern the hosts, and must not make their
    environment a different one.

    Args:
        extras: Names of extras, separated by commas.
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = _needed(requirements(extras), "")
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            installed = distribution(name)
        except PackageNotFoundError:  # for another platform or Python than this one
            continue
        found[name] = installed.version
        waiting += _needed(installed.requires or [], extra)
    return tuple(f"{name}=={version}" for name, version in sorted(found.items()))


def requirements(extras: str) -> list[str]:
    """Return what we and some extras of ours require, as the source says it: a checkout may be newer than its installation.

    Args:
        extras: Names of extras, separated by commas.
    """
    if _checkout():
        project = tomllib.loads((assets_root() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        optional = project["optional-dependencies"]
        return [*project["dependencies"], *(line for extra in extras.split(",") for line in optional[extra])]
    wanted = ["", *extras.split(",")]
    chosen = []
    for line in distribution(NAME).requires or []:
        needed = Requirement(line)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in wanted):
            needed.marker = None  # which extra it is of: it has been chosen
            chosen.append(str(needed))
    return chosen


def _needed(lines: list[str], extra: str) -> list[tuple[str, str]]:
    """Return the distributions that requirements name, each with every extra of it and with none."""
    found: list[tuple[str, str]] = []
    for line in lines:
        needed = Requirement(line)
        if needed.marker is None or needed.marker.evaluate({"extra": extra}):
            found += [(canonicalize_name(needed.name), more) for more in ["", *needed.extras]]
    return found


@cache
def source_digest() -> str:
    """Return a digest of our own code and of what ships with it, as it is when it is first asked for."""
    digest = hashlib.sha256(__version__.encode())
    here = assets_root() if _checkout() else Path(mlsysops_cli.__file__).parent.parent
    for name in _CHECKOUT if _checkout() else _PACKAGES:
        place = here / name
        for path in [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file()):
            if "__pycache__" not in path.parts:
                digest.update(path.relative_to(here).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def make_wheel(directory: Path) -> Path:
    """Make our wheel in a directory and return its path.

    Raises:
        MlsError: It cannot be made.
    """
    if _checkout():
        pip("wheel", "--no-deps", "--wheel-dir", str(directory), str(assets_root()))
        return next(directory.glob("mlsysops_cli-*.whl"))
    return _from_installed(directory)


def pip(*arguments: str, timeout: float = 900, environment: Mapping[str, str] | None = None) -> None:
    """Run pip of this environment.

    Args:
        arguments: Of pip.
        timeout: Seconds.
        environment: Further variables, for what builds a wheel.

    Raises:
        UsageError: This environment has none.
        MlsError: It failed.
        TimedOut: It does not end.
    """
    argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout, check=False,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
    except subprocess.TimeoutExpired as exc:
        raise TimedOut(f"pip {arguments[0]} does not end within {timeout:.0f} s") from exc
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        raise UsageError(f"{sys.executable} has no pip", hint=f"{sys.executable} -m ensurepip")
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or done.stderr.splitlines()[-1:]
    raise MlsError(f"pip {arguments[0]}: {' '.join(errors)}", hint="this machine needs a package index, the hosts none")


def _checkout() -> bool:
    return (assets_root() / "pyproject.toml").is_file()


def _from_installed(directory: Path) -> Path:
    """Put the wheel together from its installed files (binary distribution format, PyPA specifications)."""
    try:
        own = distribution(NAME)
    except PackageNotFoundError as exc:
        raise MlsError(f"{NAME} is not installed as a package", hint="pip install 'mlsysops-cli[all]'") from exc
    path = directory / f"mlsysops_cli-{own.version}-py3-none-any.whl"
    info = f"mlsysops_cli-{own.version}.dist-info"
    record = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in own.files or []:
            name = file.as_posix()
            if name.startswith("..") or "__pycache__" in name or name.endswith(("/RECORD", "/INSTALLER", "/REQUESTED")):
                continue
            data = file.read_binary()
            archive.writestr(name, data)
            checksum = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={checksum},{len(data)}")
        archive.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,", ""]))
    return path
