"""From an inventory to everything that a run needs: slice, addresses, rendered tree, plan, on disk."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_cli import __version__
from mlsysops_cli.actions.framework.artifacts import k3s_machines
from mlsysops_cli.actions.framework.existing import look_at_existing
from mlsysops_cli.actions.framework.overlay import rendered_tree
from mlsysops_cli.actions.framework.remote import RemoteHosts
from mlsysops_cli.actions.framework.supported import supported
from mlsysops_cli.files import write_private
from mlsysops_cli.inventory import load_slice
from mlsysops_cli.render import deployment_plan, local_facts, save_facts, take_ownership, write_tree
from mlsysops_cli.render.kubernetes_plan import rendered_planes, unrendered_secrets
from mlsysops_cli.runner.ssh import connections
from mlsysops_cli.slice import (
    AppliedObjects,
    SliceLayout,
    SliceState,
    held_addresses,
    locked,
    plan_layout,
    preview_addresses,
    slice_directory,
)
from mlsysops_cli.slice.state import host_roles, private_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from mlsysops_cli.actions.framework.change import HostAccess
    from mlsysops_cli.render import RenderedTree
    from mlsysops_cli.runner import RunResult
    from mlsysops_cli.settings import Settings
    from mlsysops_cli.slice import Slice

__all__ = [
    "Prepared",
    "forget_hosts",
    "forget_pruned",
    "prepare",
    "prepared_change",
]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A slice, ready to be deployed.

    Attributes:
        layout: The slice, placed.
        tree: What was rendered.
        directory: Where the files of this run are: the slice's state, or a temporary one for ``--check``.
        plan: File with the deployment plan.
        hosts: Inventory of our own that makes local hosts usable and is all that `destroy-all` needs.
        first: The slice had no state before.
        state: What the slice is once the run has done its work; written already unless it was held back.
    """

    layout: SliceLayout
    tree: RenderedTree
    directory: Path
    plan: Path
    hosts: Path
    first: bool
    state: SliceState


@private_files()
def prepare(
    settings: Settings,
    inventory: str,
    *,
    vault_password_file: str | None,
    descriptions: str | None,
    check: Path | None,
    accept_host_keys: bool = False,
    without: Collection[str] = (),
    leaving: Mapping[str, Any] | None = None,
    hold: ExitStack | None = None,
    read: Slice | None = None,
    take_over: bool = False,
) -> Prepared:
    """Read, validate, place, render and write a slice.

    Args:
        settings: Told what goes on.
        inventory: Its path.
        vault_password_file: Decrypts vaulted parts.
        descriptions: Directory of descriptions that replace rendered ones.
        check: Directory for the files of a run that changes nothing; None for a real one.
        accept_host_keys: Trust SSH keys of hosts that are seen for the first time.
        without: Hosts of the inventory that are left out.
        leaving: Parts of the plan of hosts that leave. The state is then held back, and the plan lies beside the slice's.
        hold: Holds the slice's lock and addresses until the run is over; nothing is written before the lock is taken.
        read: The inventory, where the caller has read it already: Ansible takes its time for that.
        take_over: Take over objects of clusters that others made under names of ours.

    Raises:
        InvalidInput: The inventory or a description does not validate.
        Conflict: It is not the slice that is deployed under this name, or others made objects that have names of ours.
        Refused: It cannot be deployed by this version.
    """
    slice_ = (read or load_slice(inventory, vault_password_file=vault_password_file)).without(without)
    supported(slice_)
    slice_, existing = look_at_existing(settings, slice_)
    if hold:
        hold.enter_context(connections())  # hosts that are asked for facts are connected already when the run begins
    if hold and not check:
        hold.enter_context(locked(slice_directory(slice_.name), f"slice {slice_.name}"))
    state = SliceState.find(slice_.name)
    if state:
        state.check_extension(slice_, leaving=leaving or ())
    known = state.addresses if state else None
    if hold and not check:
        addresses = hold.enter_context(held_addresses(slice_, known))
    else:
        addresses = preview_addresses(slice_, known)
    layout = plan_layout(slice_, addresses)
    if not leaving:
        existing.refuse_obstacles(layout, _everything(layout, descriptions), take_over=take_over)
    addresses.drop(leaving or ())
    after = SliceState(
        name=slice_.name,
        engine=slice_.engine,
        inventory=str(Path(inventory).absolute()),
        version=__version__,
        hosts=host_roles(slice_),
        addresses=addresses.to_dict(),
    )
    if not check and not leaving:
        after.save()  # first of all: whatever happens later, destroy-all knows what to take down
    directory = check or layout.directory
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if check and (layout.directory / "known_hosts").is_file():
        shutil.copy(layout.directory / "known_hosts", check)
    remote = RemoteHosts(settings, slice_, inventory, directory, vault_password_file, accept_host_keys)
    facts = remote.facts()
    pods = slice_.engine == "k3s" and slice_.agents == "pods"
    environments, lacking = ({}, {}) if pods else remote.environments(facts)
    machines = k3s_machines(layout, facts) if slice_.engine == "k3s" else {}
    facts |= existing.facts(slice_)
    if not check:
        existing.write_kubeconfigs(layout)
    tree = rendered_tree(slice_, layout, descriptions, facts)
    rendered = directory / "rendered"
    write_tree(tree, rendered)
    if not check:
        save_facts(slice_, local_facts(slice_) | facts)
    objects = rendered_planes(layout, tree)
    applied = AppliedObjects.load(layout.directory)
    secrets = unrendered_secrets(layout)
    prune = {plane: applied.superfluous(plane, wanted + secrets.get(plane, [])) for plane, wanted in objects.items()}
    plan = deployment_plan(layout, tree, rendered, environments, prune, machines)
    for name, why in lacking.items():
        plan["hosts"][name]["needs"]["environment"] = {"found": why.message, "fix": why.hint}
    if not check:
        for plane, wanted in objects.items():
            applied.add(plane, wanted + secrets.get(plane, []))
        applied.save()
    for plane, wanted in objects.items():
        if slice_.engine != "embedded" or not layout.hosts[plane].host.local:
            write_private(directory / "objects" / f"{plane}.json", json.dumps(wanted) + "\n")
    if take_over:
        take_ownership(plan)
    if leaving:
        plan["hosts"] |= leaving
        descriptions_ = prune.get(slice_.management, [])
        plan["leaving"] = [one for one in descriptions_ if one["kind"] == "MLSysOpsNode" and one["name"] in leaving]
    plan_file = directory / ("leaving.json" if leaving else "plan.json")
    hosts_file = directory / "hosts.json"
    write_private(plan_file, json.dumps({"mls_plan": plan}, indent=1) + "\n")
    write_private(hosts_file, json.dumps(_hosts(layout), indent=1) + "\n")
    return Prepared(layout, tree, directory, plan_file, hosts_file, first=state is None or not state.hosts, state=after)


@contextmanager
def prepared_change(
    settings: Settings,
    inventory: str,
    access: HostAccess,
    *,
    without: Collection[str] = (),
    leaving: Mapping[str, Any] | None = None,
    read: Slice | None = None,
) -> Iterator[Prepared]:
    """Prepare a change of a slice and hold the slice's lock until it is done; files of a mere check are gone afterwards.

    Args:
        settings: Global options.
        inventory: The slice's inventory.
        access: How hosts are reached.
        without: Hosts of the inventory that are left out.
        leaving: Parts of the plan of hosts that leave.
        read: The inventory, where the caller has read it already.

    Raises:
        InvalidInput: The inventory does not validate.
        Conflict: Another command works on the slice.
    """
    with ExitStack() as stack:
        check = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mls-check-"))) if access.check else None
        yield prepare(
            settings,
            inventory,
            vault_password_file=access.vault_password_file,
            descriptions=None,
            check=check,
            accept_host_keys=access.accept_host_keys,
            without=without,
            leaving=leaving,
            hold=stack,
            read=read,
        )


def forget_hosts(name: str) -> None:
    """Let a slice of which nothing was deployed be another one next time."""
    state = SliceState.load(name)
    state.model_copy(update={"hosts": {}}).save()


def forget_pruned(directory: Path, result: RunResult) -> None:
    """Take note of the objects that a run deleted because they are no longer wanted.

    Args:
        directory: State of the slice.
        result: What the run did.
    """
    applied = AppliedObjects.load(directory)
    for host, pruned in result.pruned.items():
        applied.forget(host, pruned)
    applied.save()


def _everything(layout: SliceLayout, descriptions: str | None) -> dict[str, list[dict[str, Any]]]:
    """Return what a deployment applies to clusters that exist, by plane; hosts need not be known for what it is called."""
    if layout.slice.engine != "existing":
        return {}
    planes = rendered_planes(layout, rendered_tree(layout.slice, layout, descriptions))
    secrets = unrendered_secrets(layout)
    return {plane: objects + secrets.get(plane, []) for plane, objects in planes.items()}


def _hosts(layout: SliceLayout) -> dict[str, Any]:
    local = {
        name: {"ansible_connection": "local", "ansible_python_interpreter": place.python}
        for name, place in layout.hosts.items()
        if place.host.local or not place.host.machine  # what only stands for an API is worked on from here
    }
    return {"all": {"hosts": local}}
