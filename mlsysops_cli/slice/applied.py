"""Which objects a slice's deployments applied to each control plane, so that what is no longer wanted can go."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlsysops_cli.files import write_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["AppliedObjects", "Identity"]

#: apiVersion, kind, namespace (empty for cluster-wide kinds) and name.
Identity = tuple[str, str, str, str]
#: Deleting one deletes what people put into it, so they stay until the slice goes.
_KEPT = frozenset({"CustomResourceDefinition", "Namespace"})


@dataclass(slots=True)
class AppliedObjects:
    """The objects of each control plane that a deployment applied, or was about to; kept in ``applied.json``.

    It names a superset of what is there: an object is written down before it is applied, and forgotten after it was
    deleted, so that an interrupted run loses none.

    Attributes:
        directory: State of the slice; has its name.
        planes: Objects by the name of the host whose control plane has them.
    """

    directory: Path
    planes: dict[str, set[Identity]] = field(default_factory=dict)

    @classmethod
    def load(cls, directory: Path) -> AppliedObjects:
        """Read what was applied; nothing where no deployment wrote it down."""
        path = directory / "applied.json"
        if not path.is_file():
            return cls(directory)
        known = json.loads(path.read_text(encoding="utf-8"))
        return cls(directory, {host: {_identity(one) for one in objects} for host, objects in known.items()})

    def save(self) -> None:
        """Write it down, in one step."""
        known = {host: sorted(objects) for host, objects in sorted(self.planes.items())}
        write_private(self.directory / "applied.json", json.dumps(known, indent=1) + "\n")

    def superfluous(self, host: str, wanted: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
        """Return what was applied to a control plane and is no longer wanted, as the module `mls_apply` takes it.

        Args:
            host: The control plane's host.
            wanted: Objects that are rendered for it now.
        """
        left = self.planes.get(host, set()) - {identity_of(obj) for obj in wanted}
        return [
            {"api_version": version, "kind": kind, "namespace": namespace, "name": name, "slice": self.directory.name}
            for version, kind, namespace, name in sorted(left)
            if kind not in _KEPT
        ]

    def add(self, host: str, wanted: Iterable[Mapping[str, Any]]) -> None:
        """Remember objects that are about to be applied to a control plane."""
        self.planes.setdefault(host, set()).update(identity_of(obj) for obj in wanted)

    def forget(self, host: str, pruned: Iterable[Mapping[str, str]]) -> None:
        """Forget objects that `mls_apply` deleted."""
        gone = {(one["api_version"], one["kind"], one.get("namespace", ""), one["name"]) for one in pruned}
        self.planes.setdefault(host, set()).difference_update(gone)


def identity_of(obj: Mapping[str, Any]) -> Identity:
    """Return what tells an object from all others of one API."""
    metadata = obj["metadata"]
    return obj["apiVersion"], obj["kind"], metadata.get("namespace") or "", metadata["name"]


def _identity(value: list[str]) -> Identity:
    version, kind, namespace, name = value
    return version, kind, namespace, name
