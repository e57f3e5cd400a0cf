"""What to do about what Ansible and ssh say."""

from __future__ import annotations

import pytest

from mlsysops_cli.runner.hints import advice, plain


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (
            "Failed to connect to the host via ssh: ssh: connect to host 10.0.0.1 port 22: Connection timed out",
            "switched on",
        ),
        ("ssh: connect to host 10.0.0.1 port 22: No route to host", "switched on"),
        ("runner@10.0.0.1: Permission denied (publickey).", "authorized_keys"),
        ("Host key verification failed.", "known_hosts"),
        ("WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! Host key verification failed.", "ssh-keygen -R"),
        ("Missing sudo password", "sudoers"),
        ("Task failed: Premature end of stream waiting for become success.", "sudoers"),
        ("ssh: Could not resolve hostname nowhere: Name or service not known", "ansible_host"),
        ("/bin/sh: 1: /usr/bin/python3: not found", "install Python"),
        ("[Errno 28] No space left on device: '/var/tmp/x'", "make room"),
    ],
)
def test_every_symptom_has_a_way_out(message: str, text: str) -> None:
    assert text in advice(message)


def test_what_nobody_knows_gets_no_advice() -> None:
    assert advice("boom") == ""


def test_what_ansible_puts_around_a_message_goes() -> None:
    wrapped = (
        'Data could not be sent to remote host "10.0.0.1". Make sure this host can be reached over ssh: ssh: connect'
    )
    assert plain(f"Task failed: {wrapped}") == "connect"
    assert plain("Failed to connect to the host via ssh: Permission denied") == "Permission denied"
    assert plain("Task failed: ") == "Task failed: "
