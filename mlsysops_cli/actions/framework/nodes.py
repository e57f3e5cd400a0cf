"""What `mls framework add-node` and `remove-node` do: hosts join and leave a running slice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import InvalidInput, NotFound

from mlsysops_cli.actions.framework.change import HostAccess, report_change, report_failure, run_change
from mlsysops_cli.actions.framework.chosen import chosen_slice, default_inventory, plan_of
from mlsysops_cli.actions.framework.members import check_joining, check_leaving, joining_warnings
from mlsysops_cli.actions.framework.prepare import forget_pruned, prepared_change
from mlsysops_cli.actions.framework.remains import left_behind
from mlsysops_cli.files import write_private
from mlsysops_cli.inventory import load_slice
from mlsysops_cli.slice import SliceState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlsysops_cli.actions.framework.prepare import Prepared
    from mlsysops_cli.settings import Settings

__all__ = ["add_nodes", "remove_nodes"]


def add_nodes(settings: Settings, names: Sequence[str], access: HostAccess) -> None:
    """Let hosts of the inventory join a running slice; only they and their clusters' servers are touched.

    Args:
        settings: Global options.
        names: The workers; on k3s also further servers.
        access: How hosts are reached.

    Raises:
        NotFound: The slice is not deployed, or a name is no such host of the inventory.
        Refused: A host cannot join.
        PartialFailure: Some hosts failed.
    """
    inventory = default_inventory(settings, access.inventory)
    slice_ = load_slice(inventory, vault_password_file=access.vault_password_file)
    state = SliceState.find(slice_.name)
    if state is None or not plan_of(state):
        raise NotFound(f"slice {slice_.name} is not deployed", hint="run `mls framework deploy-all`")
    check_joining(slice_, names, state.hosts, inventory)
    for warning in joining_warnings(slice_, names):
        settings.note(f"warning: {warning}")
    # Other hosts that are new in the inventory are none of this command's business.
    newcomers = [name for name in slice_.hosts if name not in state.hosts and name not in names]
    with prepared_change(settings, inventory, access, without=newcomers, read=slice_) as prepared:
        result = run_change(
            settings,
            prepared,
            inventory,
            access,
            playbook="add_nodes.yml",
            title=f"{'check' if access.check else 'add'} {', '.join(names)}: slice {slice_.name}",
            variables={"mls_nodes": list(names)},
        )
        if result.pruned and not access.check:
            forget_pruned(prepared.layout.directory, result)
    if error := result.error():
        report_failure(settings, slice_.name, result)
        raise error
    done = f"{', '.join(names)} would join" if access.check else f"{', '.join(names)} joined"
    text = f"{done} slice {slice_.name}: {result.changed} changes, {result.seconds:.1f} s\n"
    report_change(settings, slice_.name, result, text, nodes=list(names))


def remove_nodes(
    settings: Settings, names: Sequence[str], access: HostAccess, *, slice_name: str | None, force: bool, seconds: int
) -> None:
    """Take hosts out of a running slice: empty them, stop and remove what is ours there, forget them.

    Args:
        settings: Global options.
        names: The workers; on k3s also servers that joined a first one.
        access: How hosts are reached.
        slice_name: The slice; the one in use where None.
        force: The hosts are dead: they are not asked, and nothing is waited for.
        seconds: How long a node may take to become empty.

    Raises:
        NotFound: A name is no such host of the slice.
        Refused: A host cannot leave.
        InvalidInput: The inventory does not say how a host is reached.
        TimedOut: A node does not become empty; it stays, cordoned.
        PartialFailure: Some hosts failed.
    """
    state = chosen_slice(settings, slice_name)
    inventory = access.inventory or state.inventory
    plan = plan_of(state)
    slice_ = load_slice(inventory, vault_password_file=access.vault_password_file)
    check_leaving(slice_, names, state.name, {name: state.hosts[name] for name in state.hosts if name in plan["hosts"]})
    lost = [name for name in names if name not in slice_.hosts]
    if lost:
        raise InvalidInput(
            f"{inventory} does not say how {', '.join(lost)} is reached",
            hint="put it back until it has left, and run this again",
        )
    leaving: dict[str, Any] = {name: plan["hosts"][name] for name in names}
    others = [name for name in slice_.hosts if name in names or name not in state.hosts]
    with prepared_change(settings, inventory, access, without=others, leaving=leaving, read=slice_) as prepared:
        result = run_change(
            settings,
            prepared,
            inventory,
            access,
            playbook="remove_nodes.yml",
            title=f"{'check' if access.check else 'remove'} {', '.join(names)}: slice {state.name}",
            variables={"mls_nodes": list(names), "mls_dead": force, "mls_drain_seconds": seconds},
        )
        if error := result.error():
            report_failure(settings, state.name, result)
            raise error
        if not access.check:
            forget_pruned(prepared.layout.directory, result)
            _commit(prepared, names)
    done = f"{', '.join(names)} {'would leave' if access.check else 'left'} slice {state.name}"
    text = f"{done}: {result.changed} changes, {result.seconds:.1f} s\n"
    if not access.check:
        settings.note(f"take it out of {inventory} too: `mls framework deploy-all` adds what stands there")
    left = {name: left_behind(part) for name, part in leaving.items()} if force else {}
    text += "".join(f"  left on {name}: {', '.join(what)}\n" for name, what in left.items())
    report_change(settings, state.name, result, text, nodes=list(names), left=left)


def _commit(prepared: Prepared, names: Sequence[str]) -> None:
    """Write down that hosts have left."""
    prepared.state.save()
    plan = json.loads(prepared.plan.read_text(encoding="utf-8"))
    plan["mls_plan"].pop("leaving", None)
    for name in names:
        plan["mls_plan"]["hosts"].pop(name, None)
    write_private(prepared.directory / "plan.json", json.dumps(plan, indent=1) + "\n")
    prepared.plan.unlink()
