"""What the commands that change a running slice share: how they reach its hosts, and one run of a playbook."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import NotFound

from mlsysops_cli.actions.framework.chosen import plan_of
from mlsysops_cli.assets import asset
from mlsysops_cli.output import emit_document
from mlsysops_cli.render import remote_temporary, save_identities
from mlsysops_cli.runner import PlaybookRun, choose_progress, run_playbook
from mlsysops_cli.slice import slice_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlsysops_cli.actions.framework.prepare import Prepared
    from mlsysops_cli.runner import RunResult
    from mlsysops_cli.settings import Settings
    from mlsysops_cli.slice import SliceState

__all__ = ["HostAccess", "report_change", "report_failure", "run_change", "run_deployed"]


@dataclass(frozen=True, slots=True)
class HostAccess:
    """How hosts are reached.

    Attributes:
        inventory: Path of the inventory; that of the slice where None.
        vault_password_file: Decrypts vaulted parts of it.
        accept_host_keys: Trust SSH keys of hosts that are seen for the first time.
        check: Change nothing, say what would change.
    """

    inventory: str | None = None
    vault_password_file: str | None = None
    accept_host_keys: bool = False
    check: bool = False


def run_change(
    settings: Settings,
    prepared: Prepared,
    inventory: str,
    access: HostAccess,
    *,
    playbook: str,
    title: str,
    variables: Mapping[str, Any] | None = None,
    limit: str = "",
) -> RunResult:
    """Run a playbook on a prepared slice and return what it did; the caller looks at its error.

    Args:
        settings: Global options.
        prepared: The slice.
        inventory: Its inventory.
        access: How hosts are reached.
        playbook: Name of the playbook.
        title: What the progress display calls it.
        variables: Further variables of the playbook.
        limit: Hosts, as Ansible's ``--limit``.
    """
    layout = prepared.layout
    run = PlaybookRun(
        playbook=asset("playbooks", playbook),
        inventories=[Path(inventory).absolute(), prepared.hosts],
        state=prepared.directory / "run",
        logs=prepared.directory / "logs" / "runs",
        logs_stay=not access.check,
        title=title,
        extra_vars=prepared.plan,
        variables=variables or {},
        limit=limit,
        verbosity=max(0, settings.verbose - 1),
        local_only=layout.slice.local,
        known_hosts=prepared.directory / "known_hosts",
        remote_temporary=remote_temporary(layout.slice.name, check=access.check),
        **_reached(access),
    )
    result = run_playbook(run, choose_progress(title, quiet=settings.quiet))
    if not access.check:
        save_identities(layout.slice, result.checks)
    return result


def run_deployed(
    settings: Settings,
    state: SliceState,
    access: HostAccess,
    *,
    playbook: str,
    title: str,
    variables: Mapping[str, Any] | None = None,
    limit: str = "",
    quiet: bool = False,
) -> RunResult:
    """Run a playbook on a slice as it was deployed last and return what it did; the caller looks at its error.

    Args:
        settings: Global options.
        state: The slice's state.
        access: How hosts are reached.
        playbook: Name of the playbook.
        title: What the progress display calls it.
        variables: Further variables of the playbook.
        limit: Hosts, as Ansible's ``--limit``.
        quiet: Show no progress.

    Raises:
        NotFound: The inventory is gone.
    """
    directory = slice_directory(state.name)
    remote = any(not part["local"] for part in plan_of(state).get("hosts", {}).values())
    inventory = Path(access.inventory or state.inventory).absolute()
    if remote and not inventory.exists():
        raise NotFound(
            f"the inventory of slice {state.name} is gone: {inventory}", hint="name another with --inventory"
        )
    run = PlaybookRun(
        playbook=asset("playbooks", playbook),
        inventories=[*([inventory] if inventory.exists() else []), directory / "hosts.json"],
        state=directory / "run",
        logs=directory / "logs" / "runs",
        title=title,
        extra_vars=directory / "plan.json",
        variables=variables or {},
        limit=limit,
        verbosity=max(0, settings.verbose - 1),
        local_only=not remote,
        known_hosts=directory / "known_hosts",
        remote_temporary=remote_temporary(state.name),
        **_reached(access),
    )
    return run_playbook(run, choose_progress(title, quiet=quiet or settings.quiet))


def _reached(access: HostAccess) -> dict[str, Any]:
    return {
        "check": access.check,
        "vault_password_file": access.vault_password_file,
        "accept_host_keys": access.accept_host_keys,
    }


def report_change(settings: Settings, name: str, result: RunResult, text: str, **more: Any) -> None:
    """Say what a run did.

    Args:
        settings: Global options.
        name: The slice.
        result: What the run did.
        text: What a person is told.
        more: Further members of the structured answer.
    """
    emit_document(settings, _document(name, result) | more, kind="slice", name="slice", text=text)


def report_failure(settings: Settings, name: str, result: RunResult) -> None:
    """Say what a run that failed did, and which host lacks what, to whoever reads the answer with a program.

    A person is told by the error that follows.

    Args:
        settings: Global options.
        name: The slice.
        result: What the run did.
    """
    if settings.structured:
        emit_document(settings, _document(name, result), kind="slice", name="slice")


def _document(name: str, result: RunResult) -> dict[str, Any]:
    return {
        "slice": name,
        "changed": result.changed,
        "seconds": round(result.seconds, 1),
        "hosts": {
            host: {
                "changed": share.changed,
                "failed": share.failed + share.unreachable,
                "tasks": share.ok + share.failed + share.unreachable,
                "seconds": round(share.seconds, 1),
            }
            for host, share in result.hosts.items()
        },
        "failures": [failure.document() for failure in result.failures],
    }
