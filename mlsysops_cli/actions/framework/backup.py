"""What `mls framework backup` and `restore` do: the control planes' stores and keys, out into one file and back."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from mlsysops_core.errors import Conflict, InvalidInput, NotFound

from mlsysops_cli.actions.framework.change import HostAccess, report_change, report_failure, run_change, run_deployed
from mlsysops_cli.actions.framework.chosen import chosen_slice, plan_of
from mlsysops_cli.actions.framework.confirm import confirm_slice
from mlsysops_cli.actions.framework.deploy import save_slice_context
from mlsysops_cli.actions.framework.prepare import forget_pruned, prepared_change
from mlsysops_cli.inventory import load_slice
from mlsysops_cli.output import emit_document
from mlsysops_cli.slice import SliceState, locked, slice_directory, slices_root
from mlsysops_cli.slice.archive import read_backup, write_backup
from mlsysops_cli.slice.state import host_roles

if TYPE_CHECKING:
    from mlsysops_cli.settings import Settings
    from mlsysops_cli.slice import Slice
    from mlsysops_cli.slice.archive import BackupManifest

__all__ = ["backup", "restore"]

_SUFFIX = ".tar.gz"


def backup(settings: Settings, slice_name: str | None, file: str, access: HostAccess, *, force: bool) -> None:
    """Write a slice's backup; the slice goes on running.

    Args:
        settings: Global options.
        slice_name: The slice; the one of the inventory, or in use, where None.
        file: Where to.
        access: How hosts are reached.
        force: Replace a file that exists.

    Raises:
        Conflict: The file exists, or another command works on the slice.
        InvalidInput: The file cannot be there.
        PartialFailure: A control plane could not be copied; no file is left.
    """
    if access.inventory and not slice_name:
        slice_name = load_slice(access.inventory, vault_password_file=access.vault_password_file).name
    state = chosen_slice(settings, slice_name)
    plan = plan_of(state)
    if not plan:
        raise NotFound(f"slice {state.name} is not deployed", hint="run `mls framework deploy-all`")
    path = Path(file).absolute()
    if path.exists() and not force:
        raise Conflict(f"{path} exists", hint="--force replaces it, --file writes elsewhere")
    if not path.parent.is_dir() or path.is_dir():
        raise InvalidInput(f"{path} cannot be written", hint="--file names a file in a directory that exists")
    planes = [*plan["groups"]["management"], *plan["groups"]["servers"]] if not plan["apis"] else list(plan["apis"])
    directory = slice_directory(state.name)
    with (
        locked(directory, f"slice {state.name}"),
        tempfile.TemporaryDirectory(prefix="backup-", dir=directory) as parts,
    ):
        result = run_deployed(
            settings,
            state,
            access,
            playbook="backup.yml",
            title=f"back up slice {state.name}",
            variables={"mls_backup_directory": parts},
        )
        if error := result.error():
            report_failure(settings, state.name, result)
            raise error
        found = {path.name: path for path in Path(parts).glob(f"*{_SUFFIX}")}
        manifest = write_backup(path, state, found, force=force)
    size = path.stat().st_size
    document = {"file": str(path), "bytes": size, "seconds": round(result.seconds, 1), **manifest.model_dump()}
    text = f"{path}: slice {state.name}, {len(planes)} control planes, {size / 1e6:.1f} MB\n"
    emit_document(settings, document, kind="backup", name="backup", text=text)
    settings.note("it holds the slice's keys: whoever has it can act as anybody there")


def restore(settings: Settings, file: str, access: HostAccess, *, yes: bool) -> None:
    """Put a slice's backup back and deploy it.

    Args:
        settings: Global options.
        file: What `backup` wrote.
        access: How hosts are reached.
        yes: Do not ask before the stores of a slice that is there are replaced.

    Raises:
        NotFound: There is no such file, or nothing says where the inventory is.
        InvalidInput: It is damaged, or of another slice than the inventory's.
        Refused: Nobody confirmed.
        PartialFailure: Some hosts failed.
    """
    with ExitStack() as stack:
        opened = stack.enter_context(read_backup(Path(file), slices_root()))
        manifest = opened.manifest
        state = SliceState.find(manifest.slice)
        inventory = access.inventory or (state.inventory if state else "")
        if not inventory:
            raise NotFound(
                f"slice {manifest.slice} is not known on this machine", hint="name its inventory: --inventory"
            )
        slice_ = load_slice(inventory, vault_password_file=access.vault_password_file)
        _check(manifest, slice_, inventory)
        if state and not yes:
            what = f"What slice {manifest.slice} holds now will be replaced by what it held at {manifest.created}."
            confirm_slice(manifest.slice, what)
        prepared = stack.enter_context(prepared_change(settings, inventory, access, read=slice_))
        result = run_change(
            settings,
            prepared,
            inventory,
            access,
            playbook="restore.yml",
            title=f"restore slice {manifest.slice}",
            variables={"mls_backup_directory": str(opened.directory)},
        )
        if result.pruned:
            forget_pruned(prepared.layout.directory, result)
        if prepared.layout.management.admin_kubeconfig.exists():
            save_slice_context(prepared.layout)
        if error := result.error():
            report_failure(settings, manifest.slice, result)
            raise error
    text = (
        f"slice {manifest.slice} is back as of {manifest.created}: {result.changed} changes, {result.seconds:.1f} s\n"
    )
    report_change(settings, manifest.slice, result, text, created=manifest.created)


def _check(manifest: BackupManifest, slice_: Slice, inventory: str) -> None:
    """Refuse a backup of another slice, before anything is touched."""
    if (slice_.name, slice_.engine) != (manifest.slice, manifest.engine):
        raise InvalidInput(
            f"the backup is of slice {manifest.slice} ({manifest.engine}), {inventory} is slice {slice_.name} "
            f"({slice_.engine})",
            hint="name the inventory of that slice",
        )
    roles = host_roles(slice_)
    wrong = [
        f"{name} was {place}, is {roles.get(name, 'missing')}"
        for name, place in manifest.hosts.items()
        if not place.startswith("worker/") and roles.get(name) != place
    ]
    if wrong:
        raise InvalidInput(
            f"the backup does not fit {inventory}: {'; '.join(wrong)}", hint="hosts of control planes keep their names"
        )
    planes = {slice_.management, *(cluster.servers[0] for cluster in slice_.clusters)}
    lacking = sorted(planes - {name.removesuffix(_SUFFIX) for name in manifest.parts})
    if lacking:
        raise InvalidInput(f"the backup has nothing of {', '.join(lacking)}", hint="take another one")
