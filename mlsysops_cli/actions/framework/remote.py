"""What hosts over SSH need before a plan can be made: their facts, and an environment that runs there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import InvalidInput, Unreachable

from mlsysops_cli.actions.framework.change import HostAccess, run_deployed
from mlsysops_cli.actions.framework.first_contact import offer_keys, show_new_keys
from mlsysops_cli.assets import asset
from mlsysops_cli.render import cached_facts, remote_temporary
from mlsysops_cli.runner import PlaybookRun, choose_progress, run_playbook
from mlsysops_cli.runtime import Target, WheelsMissing, build_archives, common_targets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlsysops_cli.settings import Settings
    from mlsysops_cli.slice import Slice, SliceState

__all__ = ["RemoteHosts", "remote_processes", "unfit"]


def remote_processes(
    settings: Settings, state: SliceState, plan: Mapping[str, Any], access: HostAccess
) -> dict[str, list[dict[str, Any]]] | None:
    """Return the table of processes of every host over SSH that answers; None where the slice has no such hosts.

    Args:
        settings: Global options.
        state: The slice's state.
        plan: Its deployment plan.
        access: How hosts are reached.

    Raises:
        MlsError: Ansible could not start.
    """
    if all(part["local"] for part in plan.get("hosts", {}).values()):
        return None
    result = run_deployed(settings, state, access, playbook="status.yml", title="look at the hosts", quiet=True)
    if not result.hosts and (error := result.error()):
        raise error
    return result.processes


@dataclass(frozen=True, slots=True)
class RemoteHosts:
    """The hosts of a slice that are reached over SSH.

    Attributes:
        settings: Told what goes on.
        slice: The slice.
        inventory: Path of its inventory.
        directory: Private directory for the files of the run.
        vault_password_file: Decrypts vaulted parts of the inventory.
        accept_host_keys: Trust SSH keys of hosts that are seen for the first time.
    """

    settings: Settings
    slice: Slice
    inventory: str
    directory: Path
    vault_password_file: str | None
    accept_host_keys: bool

    def facts(self) -> dict[str, dict[str, Any]]:
        """Return the hosts' facts, by name: those of the last time, and fresh ones where there are none yet.

        Raises:
            Unreachable: None of the hosts answers, and nothing is known of them.
        """
        names = [host.name for host in self.slice.hosts.values() if host.machine and not host.local]
        known = {name: facts for name, facts in cached_facts(self.slice).items() if name in names and not unfit(facts)}
        unknown = [name for name in names if name not in known]
        if not unknown:
            return known
        known_hosts = self.directory / "known_hosts"
        before = known_hosts.read_text(encoding="utf-8") if known_hosts.is_file() else ""
        run = PlaybookRun(
            playbook=asset("playbooks", "facts.yml"),
            inventories=[Path(self.inventory).absolute()],
            state=self.directory / "run",
            logs=self.directory / "logs" / "runs",
            title="gather facts",
            limit=",".join(unknown),
            vault_password_file=self.vault_password_file,
            known_hosts=known_hosts,
            accept_host_keys=self.accept_host_keys,
            remote_temporary=remote_temporary(self.slice.name),
        )
        result = run_playbook(run, choose_progress("gather facts", quiet=self.settings.quiet))
        if self.accept_host_keys:
            show_new_keys(self.settings, before, known_hosts)
        elif offer_keys(self.settings, result, known_hosts):
            result = run_playbook(run, choose_progress("gather facts", quiet=self.settings.quiet))
        known |= result.facts
        if not known:
            raise result.error() or Unreachable("no host answers", hint=f"full log: {result.log}")
        return known

    def environments(
        self, facts: dict[str, dict[str, Any]]
    ) -> tuple[dict[str, list[tuple[Path, str]]], dict[str, InvalidInput]]:
        """Return the archives that each host gets, by name, and why there are none for some.

        A host of which nothing is known gets what the others get. So does one that can run none, and `preflight`, which looks
        at every host, says what it lacks, or what packages lack for it.

        Raises:
            InvalidInput: No host can run an environment.
        """
        remote = [host.name for host in self.slice.hosts.values() if host.machine and not host.local]
        if not remote:
            return {}, {}
        built: dict[str, list[tuple[Path, str]]] = {}
        missing: dict[str, InvalidInput] = {}
        unserved = {name: why for name in remote if name in facts and (why := unfit(facts[name]))}
        fit = {name: facts[name] for name in remote if name in facts and name not in unserved}
        for target, hosts in common_targets(fit).items():
            try:
                made = build_archives(target, self.settings.note, self.slice.extras)
                archives = [(archive.path, archive.digest) for archive in made]
            except WheelsMissing as exc:  # of these hosts alone
                missing |= dict.fromkeys(hosts, exc)
                continue
            built |= dict.fromkeys(hosts, archives)
        if not built and missing:
            first = next(iter(missing.values()))
            raise InvalidInput(f"{', '.join(missing)}: {first.message}", hint=first.hint)
        if not built:
            why = "; ".join(f"{name}: {reason}" for name, reason in unserved.items())
            hint = f"`mls framework preflight --inventory {self.inventory}` says what each host lacks"
            raise InvalidInput(why or "of no host it is known which Python it has", hint=hint)
        guess = next(iter(built.values()))
        return {name: built.get(name, guess) for name in remote}, missing


def unfit(facts: Mapping[str, Any]) -> str:
    """Return why no environment can be made for a host of these facts; empty where one can."""
    try:
        Target.of(facts)
    except InvalidInput as exc:
        return exc.message
    return ""
