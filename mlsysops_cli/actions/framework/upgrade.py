"""What `mls framework upgrade` does: one host after another gets this version, and goes back where it is not well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsysops_core.errors import NotFound, PartialFailure, Refused

from mlsysops_cli import __version__
from mlsysops_cli.actions.framework.change import HostAccess, report_change, report_failure, run_change
from mlsysops_cli.actions.framework.chosen import chosen_slice, plan_of
from mlsysops_cli.actions.framework.prepare import forget_pruned, prepared_change
from mlsysops_cli.inventory import load_slice
from mlsysops_cli.runner import by_host
from mlsysops_cli.slice.state import host_roles

if TYPE_CHECKING:
    from mlsysops_cli.runner import RunResult
    from mlsysops_cli.settings import Settings
    from mlsysops_cli.slice import SliceState

__all__ = ["outcome", "stopped", "upgrade"]


def upgrade(settings: Settings, slice_name: str | None, access: HostAccess, *, limit: str) -> None:
    """Bring a slice to the version of this command, host by host.

    Args:
        settings: Global options.
        slice_name: The slice; the one of the inventory, or in use, where None.
        access: How hosts are reached.
        limit: Hosts, as Ansible's ``--limit``.

    Raises:
        NotFound: The slice is not deployed.
        Refused: What runs cannot become what the inventory wants; nothing was done.
        PartialFailure: A host was not well afterwards; it runs what it ran before, and those after it were left alone.
    """
    slice_ = load_slice(access.inventory, vault_password_file=access.vault_password_file) if access.inventory else None
    state = chosen_slice(settings, slice_name or (slice_.name if slice_ else None))
    if not plan_of(state):
        raise NotFound(f"slice {state.name} is not deployed", hint="run `mls framework deploy-all`")
    inventory = access.inventory or state.inventory
    slice_ = slice_ or load_slice(inventory, vault_password_file=access.vault_password_file)
    newcomers = [name for name in host_roles(slice_) if name not in state.hosts]  # those join with `add-node`
    with prepared_change(settings, inventory, access, without=newcomers, read=slice_) as prepared:
        result = run_change(
            settings,
            prepared,
            inventory,
            access,
            playbook="upgrade.yml",
            title=f"{'check' if access.check else 'upgrade'} slice {state.name} to {__version__}",
            limit=limit,
        )
        if result.pruned and not access.check:
            forget_pruned(prepared.layout.directory, result)
        if error := result.error():
            if not access.check:
                prepared.state.model_copy(update={"version": state.version}).save()
            report_failure(settings, state.name, result)
            raise (None if isinstance(error, Refused) else stopped(state, result)) or error
    text = f"{outcome(state.name, state.version, __version__, result.changed, check=access.check)}, {result.seconds:.1f} s\n"
    report_change(settings, state.name, result, text, version=__version__, before=state.version)


def outcome(name: str, before: str, after: str, changes: int, *, check: bool) -> str:
    """Say what an upgrade did, or would do.

    Args:
        name: The slice.
        before: The version that it had.
        after: The version of this command.
        changes: Number of changes on all hosts.
        check: Nothing was changed.
    """
    if before == after and not changes:
        return f"slice {name} has version {after} already: nothing {'would change' if check else 'changed'}"
    number = f"{changes} change{'' if changes == 1 else 's'}"
    if before == after:  # a run that was interrupted, or an inventory that says something else by now
        return f"slice {name} {'would be' if check else 'is'} brought to what version {after} wants: {number}"
    return f"slice {name} {'would be' if check else 'is'} upgraded from {before} to {after}: {number}"


def stopped(state: SliceState, result: RunResult) -> PartialFailure | None:
    """Return the error that says which host was not well, a line for each, and which ones were left alone.

    Args:
        state: The slice as it was.
        result: What the run did.
    """
    if not result.failures:
        return None
    failed = list(dict.fromkeys(failure.host for failure in result.failures))
    alone = [name for name in state.hosts if name not in result.hosts]
    untouched = f"; left alone: {', '.join(alone)}" if alone else ""
    return PartialFailure(
        f"the upgrade stopped at {', '.join(failed)}{untouched}",
        hint="mend it and run it again" + (f"; full log: {result.log}" if result.log_stays else ""),
        details=by_host(result.failures),
    )
