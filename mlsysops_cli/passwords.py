"""Passwords that a person types for Ansible: they stay in this process's memory, and no file or argument holds them."""

from __future__ import annotations

import atexit
import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

__all__ = ["ask_become_password", "ask_vault_password"]


def ask_vault_password() -> None:
    """Ask for the password of vaulted parts, for every run of Ansible that this process starts."""
    os.environ["ANSIBLE_VAULT_PASSWORD_FILE"] = _asked("Vault password: ")


def ask_become_password() -> None:
    """Ask for the password of sudo on the hosts, for every run of Ansible that this process starts."""
    os.environ["ANSIBLE_BECOME_PASSWORD_FILE"] = _asked("Password of sudo: ")


def _asked(prompt: str) -> str:
    """Ask at the terminal, or take the next line of standard input; return a program that tells the password.

    Ansible takes a program in the place of each password file. This one reads anonymous memory of ours (memfd_create(2)), which
    goes with this process, however it ends.
    """
    if sys.stdin.isatty():
        from getpass import getpass

        secret = getpass(prompt)
    else:
        secret = sys.stdin.readline().rstrip("\n")
    memory = os.memfd_create("password")
    os.fchmod(memory, 0o600)
    os.write(memory, secret.encode() + b"\n")
    directory = Path(tempfile.mkdtemp(prefix=f"mls-{os.getpid()}-"))  # mkdtemp makes it 0700
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    program = directory / "password"
    program.write_text(f"#!/bin/sh\nexec cat {shlex.quote(f'/proc/{os.getpid()}/fd/{memory}')}\n", encoding="ascii")
    program.chmod(0o700)
    return str(program)
