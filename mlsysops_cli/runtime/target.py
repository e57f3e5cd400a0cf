"""Which Python, processor and C library an environment is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Target", "common_targets"]

MINIMUM = (3, 11)
#: What ``uname -m`` says, and what wheels call it (PEP 600).
_MACHINES = {"x86_64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64", "armv7l": "armv7l", "armv8l": "armv7l"}
#: The older names of glibc 2.5, 2.12 and 2.17 (PEP 513, 571, 599).
_ALIASES = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}


#: What has no wheels for a processor, and only control planes need: they cannot be there, workers can.
_CONTROL_PLANES_ONLY = {"armv7l": frozenset({"cel-expr-python", "google-re2", "httptools", "uvloop"})}


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """One kind of host.

    Attributes:
        python: Version of Python, ``major.minor``.
        machine: Processor as wheels name it.
        glibc: Minor version of glibc 2.
    """

    python: str
    machine: str
    glibc: int

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Target:
        """Return the target that a host's facts name.

        Raises:
            InvalidInput: No environment can be built for it.
        """
        python, machine, libc = (str(facts.get(key, "")) for key in ("python", "machine", "libc"))
        if not python or tuple(int(part) for part in python.split(".")[:2]) < MINIMUM:
            raise InvalidInput(f"Python {python or 'unknown'} is too old", hint="install Python 3.11 or newer there")
        if machine not in _MACHINES:
            raise InvalidInput(f"processor {machine or 'unknown'} is not supported", hint="amd64, arm64 or armhf")
        name, _, version = libc.partition(" ")
        if name != "glibc" or not version.startswith("2."):
            raise InvalidInput(f"C library {libc or 'unknown'} is not supported", hint="hosts need Debian or Ubuntu")
        return cls(".".join(python.split(".")[:2]), _MACHINES[machine], int(version.split(".")[1]))

    @property
    def name(self) -> str:
        """A name for files."""
        return f"cp{self.python.replace('.', '')}-{self.machine}-glibc2{self.glibc:02}"

    @property
    def without(self) -> frozenset[str]:
        """Names of requirements that cannot be had there, and that a worker does without."""
        return _CONTROL_PLANES_ONLY.get(self.machine, frozenset())

    @property
    def platforms(self) -> list[str]:
        """Platform tags of the wheels that run there, the best first."""
        tags = []
        for minor in range(self.glibc, 4, -1):
            tags.append(f"manylinux_2_{minor}_{self.machine}")
            if minor in _ALIASES:
                tags.append(f"{_ALIASES[minor]}_{self.machine}")
        return [*tags, f"linux_{self.machine}"]


def common_targets(facts: Mapping[str, Mapping[str, Any]]) -> dict[Target, list[str]]:
    """Return the targets of several hosts, each with its hosts; those of one Python and processor share the oldest libc.

    Args:
        facts: Facts by host.

    Raises:
        InvalidInput: A host cannot be served; names it.
    """
    by_kind: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for host, known in facts.items():
        try:
            target = Target.of(known)
        except InvalidInput as exc:
            raise InvalidInput(f"{host}: {exc.message}", hint=exc.hint) from exc
        by_kind.setdefault((target.python, target.machine), []).append((target.glibc, host))
    return {
        Target(python, machine, min(glibc for glibc, _ in hosts)): [host for _, host in hosts]
        for (python, machine), hosts in by_kind.items()
    }
