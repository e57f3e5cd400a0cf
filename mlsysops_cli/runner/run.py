"""Runs a playbook with ansible-runner: environment, log, progress, Ctrl-C, and nothing secret left on disk."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import UsageError

from mlsysops_cli.ansible_programs import ansible_command, ansible_program
from mlsysops_cli.assets import asset
from mlsysops_cli.runner.events import RunResult
from mlsysops_cli.runner.guard import below, guarded
from mlsysops_cli.runner.scratch import make_scratch
from mlsysops_cli.runner.ssh import connections, ssh_settings
from mlsysops_cli.slice.state import private_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

    from mlsysops_cli.runner.progress import Progress

__all__ = ["PlaybookRun", "load_runner", "run_playbook"]

_PROGRAM = "ansible-playbook"
_KEPT_LOGS = 10
_FORKS_HERE = 10
_FORKS_OVER_SSH = 50
#: Variables of ours that Ansible and what it starts may see; anything else might hold a secret.
_PASSED = (
    "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "NO_COLOR", "PATH", "SHELL", "SSH_AUTH_SOCK", "TERM", "TMPDIR", "TZ",
    "USER", "VIRTUAL_ENV", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME",
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PlaybookRun:
    """What to run.

    Attributes:
        playbook: Path of the playbook.
        inventories: Inventory sources; later ones have the last word.
        state: Private directory of the slice; what a run needs lies below it and goes afterwards.
        logs: Directory of the full logs.
        logs_stay: It outlives the command; otherwise nobody is sent there.
        title: What the progress display calls it.
        extra_vars: File of variables.
        variables: Further variables, none of them secret.
        check: Change nothing.
        diff: Show differences in the log.
        limit: Hosts, as Ansible's ``--limit`` takes them.
        tags: Tags of plays and tasks; all where empty.
        start_at_task: Name of the task to start at.
        vault_password_file: File that decrypts vaulted parts.
        verbosity: Ansible's ``-v``, so many times.
        forks: Hosts at a time; where 0, as many as ``ANSIBLE_FORKS`` says, else what suits this machine or SSH.
        local_only: All hosts are this machine, so temporary files may lie below `state`.
        known_hosts: Where SSH keys of hosts are recorded.
        accept_host_keys: Trust SSH keys of hosts that are seen for the first time.
        remote_temporary: Directory for Ansible's temporary files on hosts over SSH.
    """

    playbook: Path
    inventories: Sequence[Path]
    state: Path
    logs: Path
    title: str = "ansible-playbook"
    extra_vars: Path | None = None
    check: bool = False
    diff: bool = False
    limit: str = ""
    tags: Sequence[str] = ()
    start_at_task: str = ""
    vault_password_file: str | None = None
    verbosity: int = 0
    forks: int = 0
    local_only: bool = False
    known_hosts: Path | None = None
    accept_host_keys: bool = False
    remote_temporary: str = ""
    logs_stay: bool = True
    variables: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def load_runner() -> Callable[..., Any]:
    """Return what makes a run of ansible-runner; importing it takes a while, the first time.

    Raises:
        UsageError: It is not installed.
    """
    try:
        from ansible_runner.interface import init_runner
    except ImportError as exc:
        raise UsageError("ansible-runner is not installed", hint="pip install 'mlsysops-cli[deploy]'") from exc
    return init_runner  # type: ignore[no-any-return]


@private_files()
def run_playbook(run: PlaybookRun, progress: Progress) -> RunResult:
    """Run a playbook to its end.

    Ctrl-C asks Ansible to stop after the tasks that run; a second one ends it at once. So do the signals by which a service
    manager or a closed terminal ends us: Ansible is in a session of its own and would go on without anybody who follows it.
    Where we are killed, it is ended with what it started (`guard`).

    Args:
        run: What to run.
        progress: Follows it.

    Returns:
        What it did; `RunResult.error` says whether it failed.

    Raises:
        UsageError: Ansible is not installed.
        KeyboardInterrupt: It was stopped by Ctrl-C or one of these signals.
    """
    init_runner = load_runner()
    run.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = _open_log(run)
    result = RunResult(log=str(log), log_stays=run.logs_stay)
    private = make_scratch(run.state, "run")
    interrupts = _Interrupts()
    started = time.monotonic()
    with interrupts, _gone_afterwards(private), connections() as sockets:
        with log.open("a", encoding="utf-8") as stream, progress:

            def handle(event: dict[str, Any]) -> bool:
                if event.get("stdout"):
                    stream.write(event["stdout"] + "\n")
                    stream.flush()
                result.record(event)
                progress.event(event)
                return False  # nothing of it is kept on disk

            runner = init_runner(
                private_data_dir=str(private),
                playbook=str(run.playbook),
                inventory=[str(path) for path in run.inventories],
                cmdline=shlex.join(_options(run)),
                event_handler=handle,
                cancel_callback=lambda: interrupts.count > 1,
                quiet=True,
                suppress_env_files=True,
                settings={"suppress_output_file": True, "pexpect_timeout": 0.5},
                envvars=_settings(run, private, sockets),
            )
            runner.config.env = _only_passed(runner.config.env)
            runner.config.command = guarded([*ansible_command(_PROGRAM), *runner.config.command[1:]])
            runner.run()
        result.seconds = time.monotonic() - started
        result.returncode = int(runner.rc or 0)
        progress.summary(result)
    result.interrupted = interrupts.count > 0
    if result.interrupted:
        raise KeyboardInterrupt
    return result


@contextmanager
def _gone_afterwards(directory: Path) -> Iterator[None]:
    """Remove what ansible-runner wrote, the environment among it: the log is ours."""
    try:
        yield
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        # A process of a run that was killed may have added a file meanwhile.
        shutil.rmtree(directory, ignore_errors=True)


class _Interrupts:
    """Counts Ctrl-C and its like while a playbook runs; the first is passed on to Ansible, which is in a session of its own."""

    _SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> _Interrupts:
        # Not in the main thread: whoever runs us there handles signals.
        with contextlib.suppress(ValueError):
            for number in self._SIGNALS:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count == 1:
            # The terminal that was closed takes no more lines.
            with contextlib.suppress(OSError):
                print("stopping; Ctrl-C again stops at once", file=sys.stderr)  # noqa: T201 - to the person who pressed it
        # Ansible ends its workers when it is interrupted. Killed, it leaves them and their modules behind.
        chosen = _playbooks() if self.count == 1 else [pid for top in _playbooks() for pid in [top, *below(top)]]
        for pid in chosen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT if self.count == 1 else signal.SIGKILL)


def _playbooks() -> list[int]:
    """Return the process ids of our children that run ansible-playbook and pass signals on to it."""
    found = []
    for pid in below(os.getpid(), deep=False):
        with contextlib.suppress(OSError):
            if _PROGRAM.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def _options(run: PlaybookRun) -> list[str]:
    options: list[str] = []
    if run.extra_vars:
        options += ["--extra-vars", f"@{run.extra_vars}"]
    if run.variables:
        options += ["--extra-vars", json.dumps(dict(run.variables))]
    if run.check:
        options.append("--check")
    if run.diff:
        options.append("--diff")
    if run.limit:
        options += ["--limit", run.limit]
    if run.tags:
        options += ["--tags", ",".join(run.tags)]
    if run.start_at_task:
        options += ["--start-at-task", run.start_at_task]
    if run.vault_password_file:
        options += ["--vault-password-file", str(Path(run.vault_password_file).absolute())]
    if run.verbosity:
        options.append("-" + "v" * run.verbosity)
    return options


def _settings(run: PlaybookRun, private: Path, sockets: Path) -> dict[str, str]:
    """Return Ansible's settings; what a person's own ansible.cfg says beyond them stays in force."""
    plugins = Path(__file__).resolve().parent.parent / "ansible_plugins"
    settings = {
        "ANSIBLE_ROLES_PATH": str(asset("roles")),
        "ANSIBLE_LIBRARY": str(plugins / "modules"),
        "ANSIBLE_MODULE_UTILS": str(plugins / "module_utils"),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_FORKS": str(run.forks or _forks(run)),
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_CACHE_PLUGIN": "memory",
        "ANSIBLE_INJECT_FACT_VARS": "0",
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_DEPRECATION_WARNINGS": "0",
        "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "0",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_NOCOWS": "1",
        "ANSIBLE_HOME": str(private / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(private / "tmp"),
    }
    settings |= ssh_settings(known_hosts=run.known_hosts, accept=run.accept_host_keys, sockets=sockets)
    if run.remote_temporary:
        settings["ANSIBLE_REMOTE_TEMP"] = run.remote_temporary
    if run.local_only:
        settings["ANSIBLE_REMOTE_TEMP"] = str(private / "tmp")
    # Whatever the shell knows: what a playbook runs here is of the same Ansible.
    settings["PATH"] = os.pathsep.join(
        [str(Path(ansible_program(_PROGRAM)).parent), os.environ.get("PATH", os.defpath)]
    )
    return settings | dict(run.environment)


def _forks(run: PlaybookRun) -> int:
    """Return how many hosts are worked on at a time: with hosts over SSH we mostly wait, hosts here share our processors."""
    wanted = os.environ.get("ANSIBLE_FORKS", "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    return _FORKS_HERE if run.local_only else _FORKS_OVER_SSH


def _only_passed(environment: Mapping[str, Any]) -> dict[str, Any]:
    own = ("ANSIBLE_", "AWX_", "RUNNER_", "PYTHONPATH", "SSH_ASKPASS")
    return {k: v for k, v in environment.items() if k in _PASSED or k.startswith(own)}


def _open_log(run: PlaybookRun) -> Path:
    """Make the log of this run and let go of the oldest ones."""
    run.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    stem = run.playbook.stem
    for old in sorted(run.logs.glob(f"{stem}-*.log"))[: -(_KEPT_LOGS - 1)]:
        old.unlink(missing_ok=True)
    log = run.logs / f"{stem}-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.log"
    log.touch(mode=0o600)
    return log
