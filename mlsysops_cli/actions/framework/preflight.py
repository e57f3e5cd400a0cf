"""What `mls framework preflight` does: look at every host of an inventory, and say what keeps it from taking its part."""

from __future__ import annotations

import json
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_cli.actions.framework.chosen import default_inventory
from mlsysops_cli.actions.framework.first_contact import offer_keys, show_new_keys
from mlsysops_cli.actions.framework.remote import unfit
from mlsysops_cli.assets import asset
from mlsysops_cli.files import write_private
from mlsysops_cli.inventory import load_slice
from mlsysops_cli.output import Column, Table, emit
from mlsysops_cli.render import preflight_plan
from mlsysops_cli.runner import PlaybookRun, choose_progress, run_playbook
from mlsysops_cli.runtime import WheelsMissing, common_targets, lacking
from mlsysops_cli.slice import SliceState, plan_layout, preview_addresses

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from mlsysops_cli.runner import RunResult
    from mlsysops_cli.settings import Settings

__all__ = ["PreflightOptions", "preflight"]


@dataclass(frozen=True, slots=True)
class PreflightOptions:
    """Options of the command.

    Attributes:
        inventory: Path of the inventory.
        limit: Hosts, as Ansible's ``--limit``.
        vault_password_file: Decrypts vaulted parts.
        accept_host_keys: Trust SSH keys of hosts that are seen for the first time.
    """

    inventory: str | None = None
    limit: str = ""
    vault_password_file: str | None = None
    accept_host_keys: bool = False


def preflight(settings: Settings, options: PreflightOptions) -> bool:
    """Look at the hosts of an inventory, of any engine; return whether all can take their parts.

    A host that cannot be looked at is a finding like any other, and the others are looked at all the same.

    Raises:
        InvalidInput: The inventory is not a slice.
        MlsError: Ansible could not start.
    """
    inventory = default_inventory(settings, options.inventory)
    slice_ = load_slice(inventory, vault_password_file=options.vault_password_file)
    for warning in slice_.warnings:
        settings.note(f"warning: {warning}")
    state = SliceState.find(slice_.name)
    layout = plan_layout(slice_, preview_addresses(slice_, state.addresses if state else None))
    plan = preflight_plan(layout)
    with tempfile.TemporaryDirectory(prefix="mls-preflight-") as scratch:
        directory = Path(scratch)
        plan_file, hosts_file = directory / "plan.json", directory / "hosts.json"
        write_private(plan_file, json.dumps({"mls_plan": plan}) + "\n")
        local = {
            name: {"ansible_connection": "local", "ansible_python_interpreter": host.python}
            for name, host in layout.hosts.items()
            if host.host.local
        }
        write_private(hosts_file, json.dumps({"all": {"hosts": local}}) + "\n")
        known_hosts = (layout.directory if state else directory) / "known_hosts"
        run = PlaybookRun(
            playbook=asset("playbooks", "preflight.yml"),
            inventories=[Path(inventory).absolute(), hosts_file],
            state=directory / "run",
            logs=directory / "logs",
            logs_stay=False,
            title=f"look at the hosts of slice {slice_.name}",
            extra_vars=plan_file,
            limit=options.limit,
            vault_password_file=options.vault_password_file,
            verbosity=max(0, settings.verbose - 1),
            local_only=slice_.local,
            known_hosts=known_hosts,
            accept_host_keys=options.accept_host_keys,
        )
        before = known_hosts.read_text(encoding="utf-8") if known_hosts.is_file() else ""
        result = run_playbook(run, choose_progress(run.title, quiet=settings.quiet))
        if options.accept_host_keys:
            show_new_keys(settings, before, known_hosts)
        elif offer_keys(settings, result, known_hosts):
            result = run_playbook(run, choose_progress(run.title, quiet=settings.quiet))
    error = result.error()
    if error and not result.failures:
        raise error
    if slice_.engine != "k3s":  # there our parts are pods, and come as images
        _look_for_wheels(result, slice_.extras)
    rows = list(_rows(plan["hosts"], result, inventory))
    columns = [
        Column("HOST", "host"), Column("CHECK", "check"), Column("STATE", "state"), Column("FOUND", "found"),
        Column("FIX", lambda row: row["fix"] or "-"),
    ]  # fmt: skip
    empty = "nothing of ours runs on hosts of this inventory"
    emit(settings, {"items": rows}, Table(kind="check", name="host", columns=columns, empty=empty))
    return not any(row["state"] == "fail" for row in rows)


def _look_for_wheels(result: RunResult, extras: Collection[str]) -> None:
    """Add what packages lack for hosts of another kind than this machine, where their environment is not kept yet."""
    kinds = {host: known["kind"] for host, known in result.checks.items() if known.get("kind")}
    there = {host: kind for host, kind in kinds.items() if kind["machine"] != platform.machine() and not unfit(kind)}
    for target, hosts in common_targets(there).items():
        if pins := lacking(target, extras):
            why = WheelsMissing(target, pins)
            for host in hosts:
                finding = {"check": "environment", "found": why.message, "fix": why.hint, "level": "fault"}
                result.checks[host]["findings"].append(finding)


def _rows(hosts: Iterable[str], result: RunResult, inventory: str) -> Iterator[dict[str, Any]]:
    for host in hosts:
        known = result.checks.get(host, {"findings": [], "summary": ""})
        findings = known["findings"]
        for one in sorted(findings, key=lambda one: one["level"] != "fault"):
            state = "fail" if one["level"] == "fault" else "warning"
            yield {"host": host, "check": one["check"], "state": state, "found": one["found"], "fix": one["fix"]}
        # What failed without a finding of ours: the host does not answer, or Ansible cannot work there.
        strange = [failure for failure in result.failures if failure.host == host and not known["summary"]]
        for failure in strange:
            check = failure.family or "ansible"
            fix = (
                failure.fix
                or f"`ansible -i {inventory} {host} -m ansible.builtin.setup -vvv` shows what Ansible meets there"
            )
            yield {"host": host, "check": check, "state": "fail", "found": failure.message, "fix": fix}
        if not findings and not strange and known["summary"]:
            yield {"host": host, "check": "all", "state": "ok", "found": known["summary"], "fix": ""}
