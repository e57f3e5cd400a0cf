"""What a run of a playbook did, read off ansible-runner's events, and the error that a failed one is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import (
    Conflict,
    InvalidInput,
    MlsError,
    NotFound,
    PartialFailure,
    Refused,
    TimedOut,
    Unreachable,
)

from mlsysops_cli.runner.hints import advice, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["CHECK_OF_ARGUMENTS", "Failure", "HostResult", "RunResult", "by_host"]

#: How the task is called that Ansible puts before a role with argument_specs: no step of ours that a person would know.
CHECK_OF_ARGUMENTS = "Validating arguments against"

#: Families that our modules name in ``mls_error``.
_FAMILIES: dict[str, type[MlsError]] = {
    kind.code: kind for kind in (Conflict, InvalidInput, NotFound, Refused, TimedOut, Unreachable)
}
_LONGEST_MESSAGE = 600
#: What ansible.builtin.command says of a program that failed: why is on its stderr.
_SAYS_NOTHING = ("non-zero return code", "Error executing command")
#: What is said of a change by a task that hides its result because there are secrets in it.
_HIDDEN = "a task that hides its result"


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that failed on a host.

    Attributes:
        host: The host.
        task: Name of the task.
        message: What went wrong, on one line.
        family: ``mls_error`` of our modules, ``unreachable``, or empty.
        fix: What to do, where it is known and the message does not say it.
    """

    host: str
    task: str
    message: str
    family: str = ""
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.host}: {self.what}" if self.host else self.what

    @property
    def what(self) -> str:
        """What failed, why, and what to do, without the host."""
        return ": ".join(part for part in (self.task, self.message, self.fix) if part)

    def document(self) -> dict[str, str]:
        """Return it as a part of a command's structured answer."""
        return {
            "host": self.host, "task": self.task, "message": self.message, "reason": self.family, "fix": self.fix,
        }  # fmt: skip


def by_host(failures: Iterable[Failure]) -> list[str]:
    """Return a line for each host that failed, in the order of time, with everything that failed there."""
    lines: dict[str, list[str]] = {}
    for failure in failures:
        lines.setdefault(failure.host, []).append(failure.what)
    return [f"{host}: {'; '.join(dict.fromkeys(what))}" for host, what in lines.items()]


@dataclass(slots=True)
class HostResult:
    """A host's share of a run: numbers of tasks by how they ended, and the seconds they took."""

    ok: int = 0
    changed: int = 0
    failed: int = 0
    skipped: int = 0
    unreachable: int = 0
    seconds: float = 0.0
    changes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class RunResult:
    """What a run did.

    Attributes:
        facts: Facts that were gathered, by host.
        processes: Tables of processes that were asked for, by host.
        checks: What `preflight` found, by host: ``findings``, ``summary``, ``kind``, what an environment has to fit, and
            ``identity``, what no other host may be.
        journals: What hosts logged, by host: ``lines`` and ``cursor``.
        hosts: Results by host.
        pruned: Objects that were deleted because they are no longer wanted, by the control plane's host.
        failures: Every failure, in the order of time; those that a playbook ignores to get on, too.
        seconds: Wall time.
        tasks: Number of tasks that were started.
        slowest: Name and seconds of the slowest task on one host.
        returncode: Exit status of ansible-playbook.
        log: Path of the full log.
        log_stays: The log is still there when the command is done.
        interrupted: It was stopped by Ctrl-C.
        said: What Ansible said beyond the results of tasks, such as why it cannot start.
    """

    hosts: dict[str, HostResult] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    processes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)
    journals: dict[str, dict[str, Any]] = field(default_factory=dict)
    pruned: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    seconds: float = 0.0
    tasks: int = 0
    slowest: tuple[str, float] = ("", 0.0)
    returncode: int = 0
    log: str = ""
    log_stays: bool = True
    interrupted: bool = False
    said: list[str] = field(default_factory=list)

    @property
    def changed(self) -> int:
        """Number of changes on all hosts."""
        return sum(host.changed for host in self.hosts.values())

    def host(self, name: str) -> HostResult:
        """Return a host's share, made where there is none yet."""
        return self.hosts.setdefault(name, HostResult())

    def record(self, event: Mapping[str, Any]) -> None:
        """Take an event of ansible-runner into account."""
        kind, data = str(event.get("event")), event.get("event_data") or {}
        if kind in ("verbose", "error") and event.get("stdout"):
            self.said.append(str(event["stdout"]))
        name, task = str(data.get("host") or ""), str(data.get("task") or "")
        if kind == "playbook_on_task_start":
            self.tasks += 1
        if kind == "playbook_on_stats":
            self._count_hidden(_mapping(data.get("changed")))
        if kind not in ("runner_on_ok", "runner_on_failed", "runner_on_unreachable", "runner_on_skipped") or not name:
            return
        share = self.host(name)
        seconds = float(data.get("duration") or 0.0)
        share.seconds += seconds
        if seconds > self.slowest[1] and not task.startswith(CHECK_OF_ARGUMENTS):
            self.slowest = (f"{task} ({name})", seconds)
        result: dict[str, Any] = _mapping(data.get("res"))
        self._checked(name, _mapping(_mapping(result.get("ansible_facts")).get("mls_preflight")))
        if kind == "runner_on_skipped":
            share.skipped += 1
        elif kind == "runner_on_ok":
            share.ok += 1
            if result.get("changed"):
                share.changed += 1
                share.changes.append(task)
            if result.get("pruned"):
                self.pruned.setdefault(name, []).extend(result["pruned"])
            facts = _mapping(result.get("ansible_facts"))
            if facts.get("mls_hardware"):
                self.facts[name] = facts["mls_hardware"]
            if "mls_journal" in facts:
                self.journals[name] = facts["mls_journal"]
            if "mls_processes" in facts:
                self.processes[name] = facts["mls_processes"]
        else:
            unreachable = kind == "runner_on_unreachable"
            share.unreachable += unreachable
            share.failed += not unreachable
            result = _failed_item(result)
            family = "unreachable" if unreachable else str(result.get("mls_error") or "")
            message = failure_message(result)
            self.failures.append(
                Failure(name, task, message, family, advice(message) if not result.get("mls_error") else "")
            )

    def _count_hidden(self, changed: Mapping[str, int]) -> None:
        """Count changes by tasks whose results are hidden, changed or not: only Ansible's own sum, at the end, tells of them."""
        for name, number in changed.items():
            share = self.host(name)
            share.changes += [_HIDDEN] * (number - share.changed)
            share.changed = max(share.changed, number)

    def _checked(self, name: str, found: Mapping[str, Any]) -> None:
        if found:
            known = self.checks.setdefault(name, {"findings": [], "summary": ""})
            known["findings"] += found["findings"]
            known["summary"] = found.get("summary") or known["summary"]
            known["kind"] = found.get("kind") or known.get("kind", {})
            known["identity"] = found.get("identity") or known.get("identity", {})

    @property
    def warnings(self) -> list[str]:
        """What `preflight` found that a person should know of, a line each."""
        return [
            f"{host}: {one['found']}: {one['fix']}"
            for host, known in self.checks.items()
            for one in known["findings"]
            if one["level"] == "warning"
        ]

    def error(self) -> MlsError | None:
        """Return the error that this run is, or None where it went well."""
        if not self.failures:
            if self.returncode == 0:
                return None
            errors = [line for line in self.said if "error" in line.lower()] or self.said[-3:]
            why = " ".join(" ".join(errors).split()).replace("[ERROR]: ", "")[:_LONGEST_MESSAGE]
            if "leaves us with no hosts to target" in why:
                return NotFound("no host of the inventory is among --limit", hint="`mls inventory show` lists them")
            return MlsError(f"ansible-playbook ended with status {self.returncode}: {why}", hint=self._hint())
        lines = by_host(self.failures)
        summary = f"{len(lines)} of {len(self.hosts)} hosts failed"
        hint = self._hint()
        families = {failure.family for failure in self.failures}
        done = any(share.changed for share in self.hosts.values())
        if (
            len(families) == 1
            and (family := _FAMILIES.get(families.pop()))
            and (not done or family is TimedOut)  # what was done stays done, and only a part is missing
        ):
            return family(lines[0], hint=hint) if len(lines) == 1 else family(summary, hint=hint, details=lines)
        return PartialFailure(summary, hint=hint, details=lines)

    def _hint(self) -> str:
        return f"full log: {self.log}" if self.log_stays else ""


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _failed_item(result: dict[str, Any]) -> dict[str, Any]:
    """Return the result that says why: of a loop it is that of its first item that failed, since its own says only that one did."""
    items = result.get("results")
    failed = (
        [item for item in items if isinstance(item, dict) and item.get("failed")] if isinstance(items, list) else []
    )
    return failed[0] if failed and not result.get("censored") else result


def failure_message(result: Mapping[str, Any]) -> str:
    """Return why a task failed, on one line."""
    if result.get("censored"):
        return "the result is hidden because it may hold a secret"
    if str(result.get("msg")).rstrip(".") in _SAYS_NOTHING and result.get("cmd"):
        command = result["cmd"] if isinstance(result["cmd"], str) else " ".join(result["cmd"])
        said = str(result.get("stderr") or "").strip().splitlines() or ["it cannot be run"]
        return " ".join(f"{command}: {said[-1]}".split())[:_LONGEST_MESSAGE]
    for key in ("msg", "stderr", "module_stderr", "module_stdout", "exception"):
        text = " ".join(str(result.get(key) or "").split())
        if text:
            return plain(text)[:_LONGEST_MESSAGE]
    return "no message"
