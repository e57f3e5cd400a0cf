"""Hosts that ssh does not know are recognised by what it says, and their keys shown as ssh shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlsysops_cli.actions.framework.first_contact import show_new_keys
from mlsysops_cli.runner.host_keys import fingerprints, record_keys, unknown_address
from mlsysops_cli.settings import Settings

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBa1j3e0rUfMmxSe4fOi4ZAm4VLYqDgBfUJh9kVUSPCb"
SAID = "No ED25519 host key is known for {} and you have requested strict checking. Host key verification failed."


@pytest.mark.parametrize("address", ["10.78.0.10", "[10.78.0.10]:2222", "lab.example"])
def test_an_unknown_host_is_named_by_its_address(address: str) -> None:
    assert unknown_address(SAID.format(address)) == address


def test_a_changed_key_is_not_taken_for_an_unknown_one() -> None:
    assert unknown_address("REMOTE HOST IDENTIFICATION HAS CHANGED! Host key verification failed.") == ""


def test_keys_are_recorded_privately_and_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "slice" / "known_hosts"
    record_keys(path, [f"10.78.0.10 {KEY}\n"])
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_text()
    record_keys(path, [f"[10.78.0.11]:2222 {KEY}\n"])
    found = fingerprints(path.read_text())
    assert set(found) == {"10.78.0.10", "[10.78.0.11]:2222"}
    assert all(one.startswith("SHA256:") and one.endswith("(ED25519)") for one in found.values())
    show_new_keys(Settings(), before, path)
    shown = capsys.readouterr().err
    assert "recorded the SSH key of [10.78.0.11]:2222: SHA256:" in shown
    assert "10.78.0.10" not in shown


def test_nothing_is_shown_of_no_keys() -> None:
    assert fingerprints("") == {}
