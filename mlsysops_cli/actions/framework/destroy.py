"""What `mls framework destroy-all` does: everything of a slice goes, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import NotFound, PartialFailure, Refused, Unreachable

from mlsysops_cli.actions.framework.chosen import chosen_slice, plan_of, supervisor_of
from mlsysops_cli.actions.framework.confirm import confirm_slice
from mlsysops_cli.actions.framework.farewell import put_settings_back, withdraw_request
from mlsysops_cli.actions.framework.remains import left_behind
from mlsysops_cli.actions.framework.removal import purge, removal_plan, return_namespaces, settle_applications
from mlsysops_cli.actions.framework.successors import spared, successors, without_apis
from mlsysops_cli.assets import asset
from mlsysops_cli.context import delete_context
from mlsysops_cli.files import write_private
from mlsysops_cli.inventory import load_slice
from mlsysops_cli.output import emit_document
from mlsysops_cli.render import remote_temporary
from mlsysops_cli.runner import PlaybookRun, by_host, choose_progress, run_playbook
from mlsysops_cli.slice import locked, release_addresses, slice_directory

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Sequence

    from mlsysops_cli.runner import RunResult
    from mlsysops_cli.settings import Settings
    from mlsysops_cli.slice import SliceState

__all__ = ["Extent", "Outcome", "destroy", "judge"]


@dataclass(frozen=True, slots=True)
class Extent:
    """How much goes with a slice.

    Attributes:
        applications: On clusters that exist, the applications too; on other engines they always go.
        definitions: On clusters that exist, the definitions of our kinds and our namespaces too, and with them whatever is in them.
        abandon: Hosts, and APIs of clusters that exist, that do not answer are left as they are.
    """

    applications: bool = False
    definitions: bool = False
    abandon: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the removing playbook went.

    Attributes:
        left: Why the slice is not gone, a line for each host; empty where it is.
        silent: Hosts over SSH that did not answer, or of which the inventory does not know any more how they are reached.
    """

    left: list[str]
    silent: list[str]


def destroy(
    settings: Settings,
    name: str | None,
    *,
    yes: bool,
    vault_password_file: str | None,
    inventory: str | None = None,
    extent: Extent = Extent(),
) -> None:
    """Remove a slice: pods, processes, files, addresses, context.

    Args:
        settings: Global options.
        name: The slice; the one of the inventory, or in use, where None.
        yes: Do not ask.
        vault_password_file: Decrypts vaulted parts of the inventory.
        inventory: How the hosts are reached; the one that the slice was deployed from where None.
        extent: How much goes with a slice.

    Raises:
        Refused: Nobody confirmed, or applications run on clusters that exist, or another slice has taken these over.
        PartialFailure: Something is left; the message says what.
    """
    if inventory and not name:
        name = load_slice(inventory, vault_password_file=vault_password_file).name
    state = chosen_slice(settings, name)
    if not yes:
        confirm_slice(state.name, f"Everything of slice {state.name} will be removed.")
    directory = slice_directory(state.name)
    result: RunResult | None = None
    with locked(directory, f"slice {state.name}"):
        plan = plan_of(state)
        remote = [host for host, part in plan.get("hosts", {}).items() if not part["local"]]
        existing = state.engine == "existing"
        if existing:
            removal = removal_plan(plan, directory)
            taken = _taken_over(settings, removal, extent)
            plan = without_apis(plan, taken)
            _settle(settings, plan, extent)
            write_private(directory / "removal.json", json.dumps({"mls_plan": spared(removal, taken)}) + "\n")
        altered = put_settings_back(plan, note=settings.note)
        if plan:
            title = f"destroy slice {state.name}"
            run = PlaybookRun(
                playbook=asset("playbooks", "destroy.yml"),
                inventories=[
                    *_how_to_reach(state, inventory, remote, abandon=extent.abandon),
                    directory / "hosts.json",
                ],
                state=directory / "run",
                logs=directory / "logs" / "runs",
                logs_stay=False,  # unless something is left, and then the error names it
                title=title,
                extra_vars=directory / ("removal.json" if existing else "plan.json"),
                variables={"mls_judged": True},
                vault_password_file=vault_password_file,
                verbosity=max(0, settings.verbose - 1),
                local_only=not remote,
                known_hosts=directory / "known_hosts",
                remote_temporary=remote_temporary(state.name),
            )
            result = run_playbook(run, choose_progress(title, quiet=settings.quiet))
        left = _left_over(state, directory)
        outcome = judge(result, remote, plan.get("apis", {}) if existing else {}, abandon=extent.abandon)
        left += outcome.left
        if existing:
            withdraw_request(plan)
            if extent.definitions and not left:
                left += purge(plan, directory)
                # Karmada lets go of a namespace with its own, which is gone now.
                left += return_namespaces(plan, directory)
        failures = result.failures if result else []
        remains = {host: left_behind(plan["hosts"][host]) for host in outcome.silent} if extent.abandon else {}
        document = {
            "slice": state.name,
            "gone": not left,
            "left": remains,
            "failures": [failure.document() for failure in failures],
        }
        if left:
            if settings.output not in {"table", "wide", "name"}:
                emit_document(settings, document, kind="slice", name="slice")
            raise PartialFailure(
                f"slice {state.name} is not gone", details=left, hint=_way_out(outcome, extent, result)
            )
        shutil.rmtree(directory)
    release_addresses(state.name)
    delete_context(state.name)
    for failure in failures:  # on the way, and made good by a later step
        settings.note(f"note: {failure}")
    text = f"slice {state.name} is gone\n"
    text += "".join(f"  left on {host}: {', '.join(what)}\n" for host, what in remains.items())
    emit_document(settings, document, kind="slice", name="slice", text=text)
    if altered:
        message = f"settings of {len(altered)} nodes were not put back: {'; '.join(altered)}"
        if not extent.abandon:
            raise PartialFailure(message, hint="restart these nodes: a kernel's settings do not outlive it")
        settings.note(f"note: {message}")


def judge(result: RunResult | None, remote: Sequence[str], apis: Container[str], *, abandon: bool) -> Outcome:
    """Say what a run left behind.

    Of the hosts over SSH and of APIs we know what they answered. On this machine a later step makes good what failed, and
    we look.

    Args:
        result: What the run did; None where there was nothing to run.
        remote: The hosts over SSH.
        apis: The hosts that stand for an API of a cluster that exists.
        abandon: Whoever does not answer is left as it is.
    """
    if result is None:
        return Outcome([], [])
    if not result.hosts and (error := result.error()):
        return Outcome([str(error)] if remote else [], [])
    unknown = [host for host in remote if host not in result.hosts]
    silent = [host for host in remote if host in unknown or result.hosts[host].unreachable]
    counted = [failure for failure in result.failures if failure.host in remote or failure.host in apis]
    if not abandon:
        lost = "the inventory does not say how it is reached: put it back, or name another with --inventory"
        return Outcome([*by_host(counted), *(f"{host}: {lost}" for host in unknown)], silent)
    counted = [
        failure
        for failure in counted
        if failure.host not in silent
        and not (failure.host in apis and (failure.family == "unreachable" or failure.host not in remote))
    ]
    return Outcome(by_host(counted), silent)


def _way_out(outcome: Outcome, extent: Extent, result: RunResult | None) -> str:
    way = "run it again"
    if outcome.silent and not extent.abandon:
        way += "; for hosts that are gone for good add --abandon, which lists what is left there and forgets the slice"
    return f"{way}; full log: {result.log}" if result else way


def _taken_over(settings: Settings, removal: dict[str, Any], extent: Extent) -> Collection[str]:
    """Return the kubeconfigs of APIs that another slice has taken over, where they may be left to it.

    Raises:
        Refused: They may not.
    """
    taken = successors(removal)
    if taken and not extent.abandon:
        others = ", ".join(f"slice {name}" for name in sorted(set(taken.values())))
        raise Refused(
            f"{others} has taken over clusters of slice {removal['slice']}",
            hint="leave what is in them to it, and remove the rest, with --yes --abandon",
        )
    for kubeconfig, name in taken.items():
        settings.note(f"note: the cluster of {kubeconfig} is left to slice {name}")
    return taken


def _settle(settings: Settings, plan: dict[str, Any], extent: Extent) -> None:
    try:
        settle_applications(plan, remove=extent.applications, note=settings.note)
    except Unreachable as exc:
        if not extent.abandon:
            raise
        settings.note(f"note: {exc.message}")


def _how_to_reach(state: SliceState, given: str | None, remote: list[str], *, abandon: bool) -> list[Path]:
    """Return the inventory that says how hosts over SSH are reached; none is needed where there are none.

    Raises:
        NotFound: It is not there any more, and hosts are not to be abandoned.
    """
    if not remote:
        return []
    path = Path(given or state.inventory).absolute()
    if not path.exists():
        if abandon and not given:
            return []
        raise NotFound(
            f"the inventory of slice {state.name} is gone: {path}",
            hint="name another with --inventory, or forget the hosts with --abandon",
        )
    return [path]


def _left_over(state: SliceState, directory: Path) -> list[str]:
    """Return what of a slice still runs: the supervisor, or processes whose command line names its directory."""
    left = []
    if supervisor_of(state).running():
        left.append("its supervisor runs")
    marker = os.fsencode(str(directory) + os.sep)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        # Ours are Python programs; a person's editor or kubectl on a file of the slice is none of our business.
        if marker in command and Path(os.fsdecode(command.split(b"\0")[0])).name.startswith("python"):
            shown = command.replace(b"\0", b" ").decode("utf-8", "replace").strip()[:80]
            left.append(f"process {entry.name} ({shown}) runs")
    return left
