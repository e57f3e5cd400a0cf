"""Begins to read an inventory with Ansible's own loader, ``ansible-inventory``, run as a program.

So INI, YAML, directories, dynamic inventories and vaulted files mean here what they mean to Ansible.

It takes as long as importing what makes a slice of its answer. So this module imports none of that: a command begins to read,
and imports meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from mlsysops_core.errors import Fault, InvalidInput, TimedOut

from mlsysops_cli.ansible_programs import ansible_command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["MAX_MEMORY", "Reading", "begin_reading"]

_TIMEOUT = 60.0
#: Bytes; ten thousand hosts take a tenth of it. A program or a range of hosts without an end must not take the machine's.
MAX_MEMORY = 4 * 1024**3


class Reading:
    """A run of ``ansible-inventory`` in a session of its own, with an end in time and in memory for it and what it starts.

    As a context manager it leaves nothing running, whether it was asked for its answer or not.

    Args:
        source: The inventory.
        shown: How the user named it.
        argv: The command.
        environment: Its environment.
    """

    def __init__(self, source: Path, shown: str, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self.source = source
        self._shown = shown
        self._child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
            start_new_session=True,
        )  # fmt: skip
        with contextlib.suppress(OSError, ValueError):  # it ended already, or may have less anyway
            resource.prlimit(self._child.pid, resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        if (
            self._child.returncode is None
        ):  # Ctrl-C among other things: it is in a session of its own and does not see it
            self._end()

    def finish(self) -> tuple[int, bytes, str]:
        """Return exit status, standard output and standard error.

        Raises:
            TimedOut: It does not come to an end; neither it nor what it started is left.
        """
        try:
            output, errors = self._child.communicate(timeout=_TIMEOUT)
        except subprocess.TimeoutExpired as exc:
            self._end()
            hint = "a dynamic inventory has to come to an end; `ansible-inventory --list -i FILE` shows where it hangs"
            raise TimedOut(f"{self._shown}: the inventory was not read within {_TIMEOUT:.0f} s", hint=hint) from exc
        return self._child.returncode, output, errors.decode("utf-8", "replace")

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        with self._child:  # closes its pipes and waits for it
            pass


def begin_reading(path: str, vault_password_file: str | None = None) -> Reading:
    """Begin to read an inventory.

    Args:
        path: File or directory.
        vault_password_file: File that decrypts vaulted parts.

    Raises:
        InvalidInput: There is no such file, or it is no text.
        UsageError: Ansible is not installed.
    """
    source = Path(path).expanduser()
    if not source.exists():
        raise InvalidInput(f"{path}: no such inventory", hint="name one with --inventory")
    _check_text(source, path)
    argv = [*ansible_command("ansible-inventory"), "--inventory", str(source.absolute()), "--list"]
    if vault_password_file:
        if not os.access(vault_password_file, os.R_OK):
            why = "cannot be read" if Path(vault_password_file).exists() else "no such file"
            raise InvalidInput(f"{vault_password_file}: {why}", hint="check --vault-password-file")
        argv += ["--vault-password-file", vault_password_file]
    environment = {
        **os.environ,
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
        "ANSIBLE_DUPLICATE_YAML_DICT_KEY": "error",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
    }
    return Reading(source, path, argv, environment)


def _check_text(source: Path, shown: str) -> None:
    if not source.is_file() or os.access(source, os.X_OK):
        return
    content = source.read_bytes()
    if not content.strip():
        raise InvalidInput(faults=[Fault(source=shown, message="the file is empty", hint="see inventories/local.yml")])
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise InvalidInput(
            faults=[Fault(source=shown, line=line, column=1, message="not UTF-8 text", hint="save it as UTF-8")]
        ) from exc
