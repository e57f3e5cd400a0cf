"""Builds the environment of hosts: a wheelhouse of our wheel and its dependencies, installed into archives.

Both are kept in the cache directory by digest. Nothing in an archive depends on the slice, and the hosts unpack it
without pip and without a network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from mlsysops_core.errors import MlsError

from mlsysops_cli.runtime.wheel import constraints, make_wheel, pip, requirements, source_digest
from mlsysops_cli.runtime.wheelhouse import lacking_wheels, options, wheelhouse
from mlsysops_cli.slice.state import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from mlsysops_cli.runtime.target import Target

__all__ = ["Archive", "build_archives", "foresee", "lacking"]

#: What the processes of hosts need, whatever the slice asks for.
EXTRAS = "agents,embedded,gpu,network,northbound,plugins"
#: Extras that only agents of control planes use, which cannot be on these processors: hosts there go without.
_NOT_ON = {"armv7l": frozenset({"optimize"})}
_KEPT = 8
#: Seconds that building one may take on a slow machine with a slow network.
_PATIENCE = 1800


#: Directories of dependencies that are of no use to a process, each of many files.
_USELESS = (
    "kubernetes/docs",
    "kubernetes/test",
    "kubernetes/e2e_test",
    "kubernetes/aio/docs",
    "kubernetes/aio/test",
    "bin",
)
#: Packages of a thousand generated models each, nine tenths of them comments: they go as byte code alone.
_GENERATED = ("kubernetes",)


@dataclass(frozen=True, slots=True)
class Archive:
    """A part of an environment, ready to be unpacked.

    Attributes:
        path: A gzipped tar of a part of ``site-packages``.
        digest: Names its contents.
    """

    path: Path
    digest: str


def foresee() -> None:
    """Find out now what `build_archives` asks for hosts of common processors; asked again, it is at hand."""
    constraints(EXTRAS)
    source_digest()


def build_archives(target: Target, note: Callable[[str], None], more: Collection[str] = ()) -> list[Archive]:
    """Return the archives for a kind of host, dependencies first; they are made where the cache has none.

    Ours changes more often than the dependencies, so that an upgrade carries little.

    Args:
        target: The kind of host.
        note: Told what goes on where it takes long.
        more: Extras that the slice asks for.

    Raises:
        WheelsMissing: Some packages have no wheels for this kind of host.
        MlsError: They cannot be built.
    """
    cache = _cache()
    extras = _extras(target, more)
    versions = constraints(extras)
    own = _digest(target.name, source_digest())
    wanted = [_dependencies(target, extras, versions), Archive(cache / f"runtime-own-{target.name}-{own}.tar.gz", own)]
    # Another slice of this user may be at it, and what it builds is what we want.
    with locked(cache, "the hosts' environments", wait=_PATIENCE):
        if not all(archive.path.is_file() for archive in wanted):
            with tempfile.TemporaryDirectory(prefix="build-", dir=cache) as scratch:
                work = Path(scratch)
                wheel = make_wheel(work)
                if not wanted[0].path.is_file():
                    note(f"building the environment of hosts with Python {target.python} on {target.machine}; once")
                    kept = cache / f"wheels-{target.name}-{wanted[0].digest}"
                    wheels = wheelhouse(kept, work, target, extras, versions)
                    _install(
                        work / "dependencies",
                        wanted[0].path,
                        target,
                        [str(path) for path in sorted(wheels.glob("*.whl"))],
                    )
                if not wanted[1].path.is_file():
                    _install(work / "own", wanted[1].path, target, [str(wheel)])
        for archive in wanted:
            os.utime(archive.path)
        _forget(cache)
    return wanted


def lacking(target: Target, more: Collection[str] = ()) -> list[str]:
    """Return the packages, ``name==version``, that have no wheels for a kind of host; none where an environment is kept.

    Args:
        target: The kind of host.
        more: Extras that the slice asks for.
    """
    extras = _extras(target, more)
    versions = constraints(extras)
    return [] if _dependencies(target, extras, versions).path.is_file() else lacking_wheels(target, versions)


def _extras(target: Target, more: Collection[str]) -> str:
    return ",".join(sorted({*EXTRAS.split(","), *more} - _NOT_ON.get(target.machine, frozenset())))


def _cache() -> Path:
    return platformdirs.user_cache_path("mlsysops") / "runtime"


def _dependencies(target: Target, extras: str, versions: Sequence[str]) -> Archive:
    digest = _digest(target.name, *_USELESS, *_GENERATED, *requirements(extras), *versions)
    return Archive(_cache() / f"runtime-dependencies-{target.name}-{digest}.tar.gz", digest)


def _install(tree: Path, path: Path, target: Target, wheels: list[str]) -> None:
    pip(
        "install",
        "--quiet",
        "--target",
        str(tree),
        "--no-deps",
        "--no-index",
        "--no-compile",
        *options(target),
        *wheels,
    )
    for name in _USELESS:
        shutil.rmtree(tree / name, ignore_errors=True)
    _compile(tree, target)
    packed = tree.with_suffix(".tar.gz")
    _pack(tree, packed)
    packed.replace(path)


def _compile(tree: Path, target: Target) -> None:
    """Compile to byte code where the hosts' Python is this one's like; they do it themselves otherwise."""
    if target.python != f"{sys.version_info.major}.{sys.version_info.minor}":
        return
    for name in _GENERATED:
        if (tree / name).is_dir():
            _compileall(tree, "-b", "-o", "2", str(tree / name))
            for source in (tree / name).rglob("*.py"):
                source.unlink()
    _compileall(tree, str(tree))


def _compileall(tree: Path, *arguments: str) -> None:
    argv = [sys.executable, "-m", "compileall", "-q", "-j", "0", "-s", str(tree), "-p", "/opt/mlsysops", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300, check=False)
    if done.returncode not in (0, 1):  # 1: a file of somebody's tests that is broken on purpose
        raise MlsError(f"compileall: {done.stderr.strip()[-300:]}")


def _pack(tree: Path, path: Path) -> None:
    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        return member

    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        archive.add(tree, arcname=".", filter=anonymous)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _forget(cache: Path) -> None:
    """Let go of what was not used for longest."""
    for pattern in ("runtime-*.tar.gz", "wheels-*"):
        kept = sorted(cache.glob(pattern), key=lambda path: path.stat().st_mtime)
        for path in kept[:-_KEPT]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
