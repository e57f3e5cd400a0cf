"""Finds Ansible's programs, and runs them with a garbage collector that suits them: ``ansible_programs.py PROGRAM …``.

Python looks for cycles after every 700 objects that were made. Reading its own definitions and a playbook's roles Ansible makes
hundreds of thousands that stay, and it does so again in each worker that it forks: a tenth of what a run costs.

The programs are run, not imported, because Ansible's Python API is GPL-licensed and not meant for import.
"""

from __future__ import annotations

import gc
import os
import runpy
import shutil
import sys
from pathlib import Path

__all__ = ["COLLECT_AFTER", "ansible_command", "ansible_program"]

#: Objects that are made, beyond those that went, before the collector looks at the young ones, and how often it looks at older
#: ones. What waits for it is some ten MiB at most.
COLLECT_AFTER = (100_000, 20, 20)


def ansible_program(name: str) -> str:
    """Return the absolute path of one of Ansible's programs.

    The one beside this interpreter is preferred, so that it is found when ``PATH`` lacks the environment.

    Args:
        name: Such as ``ansible-playbook``.

    Raises:
        UsageError: Ansible is not installed.
    """
    beside = _beside(name)
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which(name)
    if not found:
        from mlsysops_core.errors import UsageError

        raise UsageError(f"{name} is not installed", hint="pip install 'mlsysops-cli[deploy]'")
    return found


def ansible_command(name: str) -> list[str]:
    """Return the command that runs one of Ansible's programs, to which arguments are added.

    Args:
        name: Such as ``ansible-playbook``.

    Raises:
        UsageError: Ansible is not installed.
    """
    path = ansible_program(name)
    if path != str(_beside(name)) or not _is_python(Path(path)):  # another interpreter's, or no script
        return [path]
    return [sys.executable, "-P", str(Path(__file__).resolve()), path]


def _beside(name: str) -> Path:
    return Path(sys.executable).parent / name


def _is_python(path: Path) -> bool:
    """Return whether a program is a script of Python, also where its path is too long for a first line and a shell reads it first.

    (distlib, which pip writes scripts with: the second line is a string to Python, and ``exec`` to the shell.)
    """
    with path.open("rb") as stream:
        first, second = stream.readline(4096), stream.readline(4096)
    return first.startswith(b"#!") and (b"python" in first or second.startswith(b"'''exec' "))


def main() -> None:
    """Run the program that the first argument names, as if it had been started itself."""
    del sys.argv[0]
    gc.set_threshold(*COLLECT_AFTER)
    # Looked through in a worker, what it has from its parent would be copied, page by page.
    os.register_at_fork(after_in_child=gc.freeze)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
