"""What `mls framework fetch-artifacts` does, and the check of an artifacts directory before a slice is deployed from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import InvalidInput, UsageError

from mlsysops_cli.artifacts import ARCHITECTURES, Artifact, Manifest, architecture_of, host_artifacts
from mlsysops_cli.inventory import load_slice
from mlsysops_cli.output import Column, Table, emit
from mlsysops_cli.render import cached_facts
from mlsysops_cli.render.k3s_plan import wanted_artifacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlsysops_cli.settings import Settings
    from mlsysops_cli.slice import Slice, SliceLayout

__all__ = ["fetch", "k3s_machines"]

#: What a host of which nothing is known is taken for; it did not answer, so nothing will be done to it either.
_GUESS = "x86_64"


def fetch(
    settings: Settings,
    inventory: str,
    directory: str | None,
    architectures: Sequence[str],
    *,
    vault_password_file: str | None = None,
) -> None:
    """Fill a directory with the released files that the slice of an inventory needs.

    Args:
        settings: Global options.
        inventory: Its path.
        directory: The directory; that of the inventory's ``mls_artifacts_dir`` where None.
        architectures: Processors of the hosts; those that are known of them, else amd64 and arm64, where empty.
        vault_password_file: Decrypts vaulted parts of the inventory.

    Raises:
        UsageError: There is nothing to fetch, no directory, or no such architecture.
        PartialFailure: Some could not be had.
    """
    # What downloads takes long to import, and only this command does.
    from mlsysops_cli.artifacts.fetch import fetch_artifacts

    slice_ = load_slice(inventory, vault_password_file=vault_password_file)
    if slice_.engine != "k3s":
        raise UsageError(f"engine {slice_.engine} needs no artifacts", hint="they are for mls_engine: k3s")
    where = directory or slice_.k3s.artifacts_dir
    if not where:
        raise UsageError(
            "no directory to fetch into", hint="give --output-dir, or set mls_artifacts_dir in the inventory"
        )
    unknown = [one for one in architectures if one not in ARCHITECTURES]
    if unknown:
        raise UsageError(f"no such architecture: {', '.join(unknown)}", hint=f"one of: {', '.join(ARCHITECTURES)}")
    wanted = _wanted(settings, slice_, architectures)
    fetched = fetch_artifacts(Path(where).absolute(), wanted, settings.note, proxy=slice_.k3s.https_proxy)
    rows = [{"name": one.name, "size": one.size, "trust": one.trust, "changed": one.changed} for one in fetched]
    table = Table(
        kind="artifact",
        columns=(
            Column("NAME", "name"),
            Column("SIZE", lambda row: f"{row['size'] / 1e6:.1f} MB"),
            Column("CHECKSUM", "trust"),
            Column("FETCHED", lambda row: "now" if row["changed"] else "before"),
        ),
        empty="there is nothing to fetch",
    )
    emit(settings, {"directory": str(Path(where).absolute()), "items": rows}, table)


def _wanted(settings: Settings, slice_: Slice, architectures: Sequence[str]) -> list[Artifact]:
    known = {architecture_of(str(facts.get("machine", ""))) for facts in cached_facts(slice_).values()} - {""}
    chosen = list(architectures) or sorted(known)
    if not chosen:
        chosen = ["amd64", "arm64"]
        settings.note("the hosts' processors are not known yet: fetching for amd64 and arm64 (see --arch)")
    found: dict[str, Artifact] = {}
    for architecture in chosen:
        # Karmada is not released for armhf, whose hosts can only be workers.
        for role in ("worker",) if architecture == "armhf" else ("management",):
            for artifact in host_artifacts(slice_.k3s, architecture, role, images=True):
                found[artifact.name] = artifact
    return list(found.values())


def k3s_machines(layout: SliceLayout, facts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the processor of each host, and check that the artifacts directory holds what they need.

    Args:
        layout: The slice, placed.
        facts: Facts of the hosts that answered.

    Raises:
        InvalidInput: Something is missing or wrong; carries every fault.
    """
    machines = {name: str(facts.get(name, {}).get("machine") or _GUESS) for name in layout.hosts}
    settings = layout.slice.k3s
    if settings.artifacts_dir:
        directory = Path(settings.artifacts_dir)
        faults = Manifest.load(directory).faults(directory, wanted_artifacts(layout, machines))
        if faults:
            raise InvalidInput(faults=faults)
    return machines
