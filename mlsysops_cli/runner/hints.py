"""What to do about what Ansible and ssh say when they cannot work on a host: they tell the symptom alone."""

from __future__ import annotations

import re

__all__ = ["advice", "plain"]

#: What ansible-core puts around the message of ssh or of a task.
_WRAPPING = re.compile(
    r"^Task failed: |(?:Data could not be sent to remote host \S+ Make sure this host can be reached over ssh|"
    r"Failed to connect to the host via ssh): (?:ssh: )?"
)

#: Patterns of messages, the first that fits counts, and what to do. The wording is that of OpenSSH 8 to 10, sudo 1.9 and
#: ansible-core 2.18 and newer.
_ADVICE = {
    r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for \S+ has changed": (
        "if the host was set up anew, remove its old key with `ssh-keygen -R` and look at the new one; "
        "if it was not, somebody is in between"
    ),
    r"Host key verification failed": "check it, and record it in ~/.ssh/known_hosts or give --accept-host-keys",
    r"Permission denied \(|Too many authentication failures|Load key .*: ": (
        "check ansible_user and ansible_ssh_private_key_file, and that the host's authorized_keys has the key"
    ),
    r"[Mm]issing sudo password|sudo: a password is required|Incorrect sudo password|Sorry, try again"
    r"|is not in the sudoers file|not allowed to (?:run sudo|execute)|waiting for become success|sudo: not found"
    r"|sudo: command not found|become (?:prompt|password)": (
        "let the user become root: a rule in /etc/sudoers.d with NOPASSWD, or ansible_become_password in a vault"
    ),
    r"Could not resolve hostname": "set ansible_host to an address, or a name that this machine's DNS knows",
    r"Connection timed out|No route to host|Network is unreachable|Connection refused|Connection reset"
    r"|Connection closed|kex_exchange_identification|Timeout, server": (
        "check that it is switched on, that ansible_host and ansible_port are right, and that sshd and firewalls let us in"
    ),
    r"No space left on device": "make room on the host: `df -h` shows the full file system",
    r"Read-only file system": "remount the file system read-write, and look for disk errors: dmesg",
    r"interpreter .* was not found|python3?: (?:command )?not found|No python interpreters found"
    r"|python\S*: No such file or directory": (
        "install Python 3.11 or newer there, or set ansible_python_interpreter to where it is"
    ),
}


def advice(message: str) -> str:
    """Return what to do about a failure, on one line; empty where nobody knows."""
    return next((what for pattern, what in _ADVICE.items() if re.search(pattern, message)), "")


def plain(message: str) -> str:
    """Return a message without what ansible-core puts around it."""
    return _WRAPPING.sub("", message) or message
