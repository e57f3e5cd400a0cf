"""What `mls framework deploy-…` do: one playbook, in whole or in part, then the context file."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import NotFound, UsageError

from mlsysops_cli.actions.framework.chosen import default_inventory
from mlsysops_cli.actions.framework.prepare import Prepared, forget_hosts, forget_pruned, prepare
from mlsysops_cli.assets import asset
from mlsysops_cli.context import Api, ClusterAccess, Context, save_context
from mlsysops_cli.inventory import load_slice
from mlsysops_cli.output import emit_document
from mlsysops_cli.render import begin_rendering, remote_temporary, save_identities
from mlsysops_cli.runner import PlaybookRun, choose_progress, load_runner, run_playbook
from mlsysops_cli.runtime import foresee

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlsysops_cli.reading import Reading
    from mlsysops_cli.runner import RunResult
    from mlsysops_cli.settings import Settings
    from mlsysops_cli.slice import SliceLayout

__all__ = ["PARTS", "DeployOptions", "deploy", "save_slice_context"]

#: Tags of the plays of ``site.yml``, in their order.
PARTS = ("controlplane", "nodes", "agents", "services", "ready", "far_edge")


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """Options that all deploying commands share.

    Attributes:
        inventory: Path of the inventory.
        descriptions: Directory of descriptions that replace rendered ones.
        check: Change nothing, say what would change.
        diff: Show differences in the log.
        limit: Hosts, as Ansible's ``--limit``.
        tags: Tags of plays.
        start_at_task: Name of the task to start at.
        vault_password_file: Decrypts vaulted parts.
        accept_host_keys: Trust SSH keys of hosts that are seen for the first time.
        take_over: Take over objects of clusters that others made under names of ours.
    """

    inventory: str | None = None
    descriptions: str | None = None
    check: bool = False
    diff: bool = False
    limit: str = ""
    tags: Sequence[str] = ()
    start_at_task: str = ""
    vault_password_file: str | None = None
    accept_host_keys: bool = False
    take_over: bool = False


def deploy(
    settings: Settings,
    options: DeployOptions,
    *,
    part: str = "all",
    name: str | None = None,
    reading: Reading | None = None,
) -> None:
    """Deploy a slice or a part of it.

    Args:
        settings: Global options.
        options: What was asked for.
        part: ``all``, ``continuum``, ``cluster``, ``node`` or ``services``.
        name: The cluster or node, where only one is meant.
        reading: The inventory, begun to be read already.

    Raises:
        UsageError: No part has such a tag.
        NotFound: Nothing has the name given: cluster, node, host or task.
        Conflict: Others made objects that have names of ours.
        PartialFailure: Some hosts failed.
    """
    unknown = [tag for tag in options.tags if tag not in PARTS]
    if unknown:
        raise UsageError(f"--tags: no part is called {', '.join(unknown)}", hint=f"parts: {', '.join(PARTS)}")
    inventory = default_inventory(settings, options.inventory)
    if reading:
        _meanwhile()
    slice_ = load_slice(inventory, vault_password_file=options.vault_password_file, reading=reading)
    with ExitStack() as stack:
        check = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mls-check-"))) if options.check else None
        prepared = prepare(
            settings,
            inventory,
            vault_password_file=options.vault_password_file,
            descriptions=options.descriptions,
            check=check,
            accept_host_keys=options.accept_host_keys,
            hold=stack,
            read=slice_,
            take_over=options.take_over,
        )
        layout = prepared.layout
        for warning in layout.slice.warnings:
            settings.note(f"warning: {warning}")
        limit, tags = _part(layout, part, name)
        title = f"{'check' if options.check else 'deploy'} {part} of slice {layout.slice.name}"
        run = PlaybookRun(
            playbook=asset("playbooks", "site.yml"),
            inventories=[Path(inventory).absolute(), prepared.hosts],
            state=prepared.directory / "run",
            logs=prepared.directory / "logs" / "runs",
            logs_stay=not options.check,
            title=title,
            extra_vars=prepared.plan,
            check=options.check,
            diff=options.diff,
            limit=options.limit or limit,
            tags=tuple(options.tags) or tags,
            start_at_task=options.start_at_task,
            vault_password_file=options.vault_password_file,
            verbosity=max(0, settings.verbose - 1),
            local_only=layout.slice.local,
            known_hosts=prepared.directory / "known_hosts",
            accept_host_keys=options.accept_host_keys,
            remote_temporary=remote_temporary(layout.slice.name, check=options.check),
        )
        result = run_playbook(run, choose_progress(title, quiet=settings.quiet))
        if options.start_at_task and not result.tasks and not result.error():
            raise NotFound(f"no task is called {options.start_at_task!r}", hint="the log of a run names them")
        if not options.check:
            save_identities(layout.slice, result.checks)
        for warning in result.warnings:
            settings.note(f"warning: {warning}")
        if result.pruned and not options.check:
            forget_pruned(layout.directory, result)
        if options.check and options.diff and not settings.quiet:
            settings.note(Path(result.log).read_text(encoding="utf-8").rstrip())
        if not options.check and layout.management.admin_kubeconfig.exists():
            save_slice_context(layout)
        error = result.error()
        if error and not options.check and prepared.first and not result.changed:
            forget_hosts(layout.slice.name)  # nothing was done: another inventory may take the name
        # Whoever reads the answer with a program learns from it which host lacks what.
        if not error or settings.structured:
            _report(settings, prepared, result, check=options.check)
        if error:
            raise error


def _meanwhile() -> None:
    """Do what a deployment needs whatever its inventory says, while Ansible reads that: there is a processor to spare."""
    begin_rendering()
    foresee()
    load_runner()


def _part(layout: SliceLayout, part: str, name: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the limit and the tags that a part of a slice stands for."""
    slice_ = layout.slice
    management = slice_.management
    if part == "continuum":
        return management, ("controlplane", "agents")
    if part == "services":
        return management, ("services",)
    if part == "cluster":
        names = [c.name for c in slice_.clusters]
        if name and name not in names:
            raise NotFound(f"no cluster {name!r} in slice {slice_.name}", hint=f"clusters: {', '.join(names)}")
        servers = [layout.server(c).host.name for c in ([name] if name else names)]
        return ",".join(servers), ("controlplane", "agents")
    if part == "node":
        workers = [host.name for host in slice_.hosts.values() if host.role == "worker"]
        if name and name not in workers:
            raise NotFound(f"no node {name!r} in slice {slice_.name}", hint=f"nodes: {', '.join(workers)}")
        chosen = [name] if name else workers
        # Its server makes the node's certificates; the management host tells of it in the continuum.
        own = dict.fromkeys(layout.server(slice_.hosts[one].cluster).host.name for one in chosen)
        return ",".join([management, *own, *chosen]), ("controlplane", "nodes", "agents")
    return "", ()


def save_slice_context(layout: SliceLayout) -> None:
    """Write the context file with which `mls` finds the slice."""
    management = layout.management
    token_file = management.reachable(management.token_file)
    token = token_file.read_text(encoding="utf-8").strip() if token_file.is_file() else ""
    save_context(
        Context(
            name=layout.slice.name,
            api=Api(
                url=layout.northbound_url,
                token=token,
                ca_file=str(layout.northbound_authority) if layout.northbound_authority else None,
            ),
            kubeconfig=str(management.admin_kubeconfig),
            clusters={
                c.name: ClusterAccess(str(layout.server(c.name).admin_kubeconfig)) for c in layout.slice.clusters
            },
            slice_dir=str(layout.directory),
            engine=layout.slice.engine,
        )
    )


def _report(settings: Settings, prepared: Prepared, result: RunResult, *, check: bool) -> None:
    layout = prepared.layout
    kubeconfigs = {layout.slice.continuum: str(layout.management.admin_kubeconfig)}
    kubeconfigs |= {c.name: str(layout.server(c.name).admin_kubeconfig) for c in layout.slice.clusters}
    document: dict[str, Any] = {
        "slice": layout.slice.name,
        "engine": layout.slice.engine,
        "changed": result.changed,
        "seconds": round(result.seconds, 1),
        "northbound": layout.northbound_url,
        "kubeconfigs": kubeconfigs,
        "hosts": {
            name: {
                "changed": share.changed,
                "failed": share.failed + share.unreachable,
                "seconds": round(share.seconds, 1),
            }
            for name, share in result.hosts.items()
        },
        "failures": [failure.document() for failure in result.failures],
    }
    if check:
        text = f"slice {layout.slice.name}: {result.changed} changes would be made\n"
        text += "".join(f"  {name}: {task}\n" for name, share in result.hosts.items() for task in share.changes)
    else:
        done = f"{result.changed} changes" if result.changed else "nothing changed"
        text = f"slice {layout.slice.name} is up: {done}, {result.seconds:.1f} s\n"
        text += f"  northbound API  {layout.northbound_url}\n"
        text += "".join(f"  kubeconfig of {name}  {path}\n" for name, path in kubeconfigs.items())
    emit_document(settings, document, kind="slice", name="slice", text=text)
