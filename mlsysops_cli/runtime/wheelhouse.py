"""The wheels that a kind of host needs: fetched into a directory, and named one by one where nobody has them."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mlsysops_core.errors import InvalidInput, MlsError
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mlsysops_cli.runtime.wheel import pip, requirements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlsysops_cli.runtime.target import Target

__all__ = ["WheelsMissing", "lacking_wheels", "options", "wheelhouse"]

#: What pip says of the first requirement that it finds nothing for.
_NOTHING_FOR = re.compile(r"No matching distribution found for ([A-Za-z0-9._-]+)")
#: Packages, from the first, that are looked for in vain until this machine is taken to have no index at all.
_ENOUGH = 3
#: Packages whose compiled part only makes them faster, and what keeps their source from having it compiled: such a wheel
#: can be built here for any processor. Ours do without it wherever they read YAML.
_PURE = {"pyyaml": {"PYYAML_FORCE_LIBYAML": "0"}}


class WheelsMissing(InvalidInput):
    """No environment can be made for a kind of host, because some packages have no wheels for it.

    Args:
        target: The kind of host.
        pins: The packages, ``name==version``.
    """

    def __init__(self, target: Target, pins: Sequence[str]) -> None:
        super().__init__(
            f"no wheels for Python {target.python} on {target.machine} of: {', '.join(pins)}",
            hint=f"on such a host, with a compiler, run `pip wheel --no-deps {' '.join(pins)}`; then set PIP_FIND_LINKS here to a "
            "directory with them, or PIP_EXTRA_INDEX_URL to an index that has them",
        )


def wheelhouse(kept: Path, work: Path, target: Target, extras: str, versions: Sequence[str]) -> Path:
    """Return a directory of the wheels that hosts need, fetched where it is not there yet.

    Args:
        kept: The directory.
        work: An empty one on the same file system.
        target: The kind of host.
        extras: What the hosts' processes need of us, separated by commas.
        versions: Every package's version, ``name==version``.

    Raises:
        WheelsMissing: Some packages have no wheels for these hosts.
        MlsError: They cannot be fetched.
    """
    if not kept.is_dir():
        pins, found = work / "constraints.txt", work / "wheels"
        pins.write_text("\n".join(versions) + "\n", encoding="utf-8")
        needed = [line for line in requirements(extras) if Requirement(line).name not in target.without]
        fetch = ("download", "--quiet", "--dest", str(found), "--constraint", str(pins), *options(target), *needed)
        try:
            pip(*fetch)
        except MlsError as exc:
            missing = _missing(target, versions)
            if hopeless := [pin for pin in missing if _name(pin) not in _PURE]:
                raise WheelsMissing(target, hopeless) from exc
            if not missing:
                raise
            pip(*fetch, "--find-links", str(_build_pure(missing, work / "pure")))
        found.replace(kept)
    os.utime(kept)
    return kept


def _build_pure(pins: Sequence[str], directory: Path) -> Path:
    """Build wheels without a compiled part from the packages' sources; return their directory."""
    for pin in pins:
        argv = ("wheel", "--quiet", "--no-deps", "--no-binary", _name(pin), "--wheel-dir", str(directory), pin)
        pip(*argv, environment=_PURE[_name(pin)])
    return directory


def _name(pin: str) -> str:
    return str(canonicalize_name(pin.partition("==")[0]))


def lacking_wheels(target: Target, versions: Sequence[str]) -> list[str]:
    """Return which of the versions have no wheel for a kind of host, and can get none here.

    Args:
        target: The kind of host.
        versions: ``name==version`` of each.

    Raises:
        TimedOut: The index does not answer.
    """
    return [pin for pin in _missing(target, versions) if _name(pin) not in _PURE]


def _missing(target: Target, versions: Sequence[str]) -> list[str]:
    """Return which of the versions no index has a wheel of; nothing is kept of what is found.

    pip names one at a time. Where it names nothing, or every one from the first, something else is wrong, and none is
    returned.
    """
    left = {_name(pin): pin for pin in versions}
    for name in target.without:
        left.pop(canonicalize_name(name), None)
    first = list(left.values())[:_ENOUGH]
    missing: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mls-wheels-") as scratch:
        dry = ("install", "--quiet", "--dry-run", "--ignore-installed", "--target", scratch, "--no-deps")
        while missing != first:
            try:
                pip(*dry, "--retries", "1", *options(target), *left.values(), timeout=300)
            except MlsError as exc:
                named = _NOTHING_FOR.search(exc.message)
                pin = left.pop(canonicalize_name(named.group(1)), None) if named else None
                if pin is None:
                    return []
                missing.append(pin)
                continue
            return missing
    return []


def options(target: Target) -> list[str]:
    """Return pip's options for a kind of host that need not be this one."""
    platforms = [word for tag in target.platforms for word in ("--platform", tag)]
    return ["--only-binary=:all:", "--implementation", "cp", "--python-version", target.python, *platforms]
