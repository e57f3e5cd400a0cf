"""Where the sockets of SSH connections are, and for how long."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from mlsysops_cli.runner.ssh import connections


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_playbooks_of_one_command_share_their_connections() -> None:
    with connections() as command:
        with connections() as first:
            assert first == command
        assert command.is_dir(), "the first playbook closed what the second one needs"
        with connections() as second:
            assert second == command
    assert not command.exists()


def test_commands_have_their_own() -> None:
    with connections() as one:
        pass
    with connections() as other:
        assert other != one
