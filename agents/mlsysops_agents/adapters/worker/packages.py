"""Python packages that a plug-in asks for: installed into a directory of their own, which only its worker process imports from.

The directory's name is a digest of what is in it, so plug-ins that ask for the same share it and nothing is installed twice.
Only wheels are taken: installing them runs no code of theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import json
import logging
import os
import shutil
import signal
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from mlsysops_core.plugins import PluginError
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

__all__ = ["PackageEnvironments", "PackageSettings", "PackagesRefused"]

_log = logging.getLogger(__name__)

ANY = "*"
#: Environments kept; of more, those go that were used longest ago.
_KEEP = 16
_MAKING = ".making-"
#: What pip may know of the agent's environment, beside its own settings.
_ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "PYTHONPATH",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "VIRTUAL_ENV",
)
_ENVIRONMENT_PREFIXES = ("PIP_",)
#: Settings of pip that name further places to take packages from.
_PLACES = frozenset({"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"})
_PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"})


class PackagesRefused(PluginError):
    """The agent's configuration does not let a plug-in have its packages."""


@dataclass(frozen=True, slots=True)
class PackageSettings:
    """What plug-ins may have installed.

    Attributes:
        allowed: Names of packages; ``*`` for any. What these need themselves comes with them.
        plugins: Packages, by name of the plug-in, that it needs without saying so; they are allowed to it.
        wheelhouse: Directory with wheels, from which alone is installed; None asks the package index that pip is set up for.
        timeout: Longest time of one installation in seconds.
        index: URL of the package index (PEP 503) that is asked; None asks the one that pip is set up for.
        proxy: URL of the proxy on the way there; None takes the environment's.
    """

    allowed: tuple[str, ...] = ()
    plugins: Mapping[str, Sequence[str]] = field(default_factory=dict)
    wheelhouse: Path | None = None
    timeout: float = 300.0
    index: str | None = None
    proxy: str | None = None


class PackageEnvironments:
    """Makes and keeps the directories.

    Args:
        directory: Where they are.
        settings: What may be installed.
    """

    def __init__(self, directory: Path, settings: PackageSettings) -> None:
        self._directory = directory
        self._settings = settings
        self._allowed = frozenset(canonicalize_name(name) for name in settings.allowed)
        self._turn = asyncio.Lock()
        self._used: set[str] = set()

    async def prepare(self, kind: str, name: str, packages: Sequence[str]) -> Path | None:
        """Return the directory with these packages, made now where there is none; None where the agent has all of them itself.

        Args:
            kind: ``policy`` or ``mechanism``.
            name: Name of the plug-in that asks.
            packages: Requirements such as ``numpy>=2`` (PEP 508).

        Raises:
            PackagesRefused: The settings do not allow one of them.
            PluginError: They cannot be installed; the message tells pip's reason.
        """
        subject = f"{kind} {name}"
        given = [read for text in self._settings.plugins.get(name, ()) if (read := _unmet(subject, text)) is not None]
        asked = [read for text in packages if (read := _unmet(subject, text)) is not None]
        names = {canonicalize_name(item.name) for item in given}
        self._must_be_allowed(subject, [item for item in asked if canonicalize_name(item.name) not in names])
        wanted = sorted({str(item) for item in (*given, *asked)})
        if not wanted:
            return None
        async with self._turn:
            place = self._directory / self._key(wanted)
            try:
                if place.is_dir():
                    os.utime(place)
                else:
                    await self._make(subject, wanted, place)
                self._used.add(place.name)
                await asyncio.to_thread(self._tidy)
            except OSError as exc:
                raise PluginError(
                    f"{subject}: its packages cannot be installed: {exc.filename or self._directory}: {exc.strerror or exc}"
                ) from exc
        return place

    def _must_be_allowed(self, subject: str, wanted: Sequence[Requirement]) -> None:
        remote = [item.name for item in wanted if item.url]
        if remote:
            raise PackagesRefused(
                f"{subject}: packages {', '.join(remote)} name a URL; only names and versions are taken"
            )
        refused = [item.name for item in wanted if canonicalize_name(item.name) not in self._allowed]
        if refused and ANY not in self._settings.allowed:
            raise PackagesRefused(
                f"{subject}: packages {', '.join(refused)} are neither installed beside the agent nor among those that its"
                " configuration lets plug-ins install (worker.packages.allowed; mls_policy_packages in the inventory)"
            )

    def _key(self, wanted: Sequence[str]) -> str:
        """Return the digest of what would be installed: requirements, Python and machine, and the wheels at hand."""
        house = self._settings.wheelhouse
        try:
            wheels = sorted(path.name for path in house.glob("*.whl")) if house is not None else None
        except OSError:
            wheels = []
        place = str(house or self._settings.index or "")
        facts = [list(wanted), sys.implementation.cache_tag, sysconfig.get_platform(), place, wheels]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]

    async def _make(self, subject: str, wanted: Sequence[str], place: Path) -> None:
        if importlib.util.find_spec("pip") is None:
            raise PluginError(
                f"{subject}: its packages cannot be installed: there is no pip beside the agent (extra plugins)"
            )
        house = self._settings.wheelhouse
        if house is not None and not house.is_dir():
            raise PluginError(f"{subject}: its packages cannot be installed: wheelhouse {house} does not exist")
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=_MAKING, dir=self._directory))
        try:
            _log.info("%s: installing %s", subject, ", ".join(wanted))
            await self._pip(subject, wanted, making)
            await asyncio.to_thread(making.rename, place)
        finally:
            await asyncio.to_thread(shutil.rmtree, making, ignore_errors=True)

    async def _pip(self, subject: str, wanted: Sequence[str], target: Path) -> None:
        house = self._settings.wheelhouse
        command = ["install", "--quiet", "--no-input", "--disable-pip-version-check", "--only-binary", ":all:"]
        command += ["--target", str(target), "--no-warn-script-location", "--root-user-action", "ignore"]
        if house is not None:
            command += ["--no-index", "--find-links", str(house)]
        elif self._settings.index is not None:
            command += ["--index-url", self._settings.index]
        if house is None and self._settings.proxy is not None:
            command += ["--proxy", self._settings.proxy]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "pip",
            *command,
            "--",
            *wanted,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self._directory,
            env=_environment(os.environ, offline=house is not None, index=self._settings.index),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._settings.timeout):
                output, _ = await process.communicate()
        except TimeoutError:
            raise PluginError(
                f"{subject}: its packages were not installed within {self._settings.timeout:g} s"
            ) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode != 0:
            raise PluginError(
                f"{subject}: its packages cannot be installed: {_reason(output.decode(errors='replace'))}"
            )

    def _tidy(self) -> None:
        """Remove what a killed agent had begun, and what has not been used for long."""
        made: list[tuple[float, Path]] = []
        for path in self._directory.iterdir():
            if path.name.startswith(_MAKING):
                shutil.rmtree(path, ignore_errors=True)
            elif path.name not in self._used:
                with contextlib.suppress(OSError):
                    made.append((path.stat().st_mtime, path))
        for _, path in sorted(made, reverse=True)[max(0, _KEEP - len(self._used)) :]:
            shutil.rmtree(path, ignore_errors=True)


def _unmet(subject: str, text: str) -> Requirement | None:
    """Read a requirement; None where the agent's own environment meets it, or it is not for this machine."""
    try:
        read = Requirement(text)
    except InvalidRequirement as exc:
        why = str(exc).splitlines()[0]
        raise PluginError(f"{subject}: {text!r} names no package: {why}") from exc
    if read.marker is not None and not read.marker.evaluate():
        return None
    return None if _is_met(read) else read


def _is_met(wanted: Requirement) -> bool:
    if wanted.url or wanted.extras:
        return False
    try:
        return wanted.specifier.contains(metadata.version(wanted.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def _environment(ours: Mapping[str, str], *, offline: bool, index: str | None = None) -> dict[str, str]:
    """Return pip's environment: where the configuration says where packages are, nothing that could name another place."""
    kept = {key: value for key, value in ours.items() if key in _ENVIRONMENT}
    if offline:
        return kept | {"PIP_CONFIG_FILE": os.devnull}
    settings = {
        key: value for key, value in ours.items() if key.startswith(_ENVIRONMENT_PREFIXES) or key.upper() in _PROXIES
    }
    if index is not None:
        settings = {key: value for key, value in settings.items() if key not in _PLACES}
        settings["PIP_CONFIG_FILE"] = os.devnull
    return kept | settings


def _reason(output: str) -> str:
    """Return the line of pip's output that says what is wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return " ".join((errors or lines or ["pip says nothing"])[0].split())[:300]
