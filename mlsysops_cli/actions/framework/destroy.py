"""What `mls framework destroy-all` does: everything of a slice goes, and nothing else."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mlsysops_core.errors import PartialFailure, Refused

from mlsysops_cli.actions.framework.chosen import chosen_slice, plan_of, supervisor_of
from mlsysops_cli.assets import asset
from mlsysops_cli.context import delete_context
from mlsysops_cli.output import write
from mlsysops_cli.runner import PlaybookRun, choose_progress, run_playbook
from mlsysops_cli.slice import locked, release_addresses, slice_directory

if TYPE_CHECKING:
    from mlsysops_cli.runner import RunResult
    from mlsysops_cli.settings import Settings
    from mlsysops_cli.slice import SliceState

__all__ = ["destroy"]


def destroy(settings: Settings, name: str | None, *, yes: bool, vault_password_file: str | None) -> None:
    """Remove a slice: pods, processes, files, addresses, context.

    Raises:
        Refused: Nobody confirmed.
        PartialFailure: Something is left; the message says what.
    """
    state = chosen_slice(settings, name)
    if not yes:
        _confirm(state.name)
    directory = slice_directory(state.name)
    result: RunResult | None = None
    with locked(directory, f"slice {state.name}"):
        if plan_of(state):
            title = f"destroy slice {state.name}"
            run = PlaybookRun(
                playbook=asset("playbooks", "destroy.yml"),
                inventories=[directory / "hosts.json"],
                state=directory / "run",
                logs=directory / "logs" / "runs",
                title=title,
                extra_vars=directory / "plan.json",
                vault_password_file=vault_password_file,
                verbosity=max(0, settings.verbose - 1),
                local_only=True,
            )
            result = run_playbook(run, choose_progress(title, quiet=settings.quiet))
        left = _left_over(state, directory)
        failures = result.failures if result else []
        if left:
            raise PartialFailure(
                f"slice {state.name} is not gone: {'; '.join(left)}",
                hint=f"run it again; full log: {result.log}" if result else "run it again",
            )
        shutil.rmtree(directory)
    release_addresses(state.name)
    delete_context(state.name)
    for failure in failures:  # on the way, and made good by a later step
        settings.note(f"note: {failure}")
    write(f"slice {state.name} is gone\n")


def _confirm(name: str) -> None:
    sys.stderr.write(f"Everything of slice {name} will be removed. Type its name to go on: ")
    sys.stderr.flush()
    typed = sys.stdin.readline().strip()
    if not typed:
        raise Refused(f"slice {name} was not removed: nobody confirmed", hint="type its name, or give --yes")
    if typed != name:
        raise Refused(f"nothing was removed: {typed!r} is not the slice's name", hint=f"type {name}")


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
