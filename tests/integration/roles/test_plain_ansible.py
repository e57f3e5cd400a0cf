"""The project's playbooks run by plain ansible-playbook from a checkout, as their first lines say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
PLAYBOOKS = sorted(path.name for path in (ROOT / "playbooks").glob("*.yml"))
#: Those that are run by themselves; the others are parts of them.
WHOLE = ("add_nodes", "backup", "destroy", "logs", "preflight", "remove_nodes", "restore", "site", "status", "upgrade")


def plainly(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the checkout, with nothing in the environment that Ansible could take its settings from."""
    home.mkdir(exist_ok=True)
    environment = {"HOME": str(home), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_roles_and_modules_of_a_playbook_are_found(tmp_path: Path, playbook: str) -> None:
    variables = yaml.safe_load((ROOT / ".ansible-lint").read_text(encoding="utf-8"))["extra_vars"]
    done = plainly(
        tmp_path / "home", "ansible-playbook", "--syntax-check", "-i", "inventories/local.yml",
        "-e", json.dumps(variables), f"playbooks/{playbook}",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("playbook", WHOLE)
def test_without_a_plan_it_is_said_how_one_is_made(tmp_path: Path, playbook: str) -> None:
    done = plainly(tmp_path / "home", "ansible-playbook", "-i", "inventories/local.yml", f"playbooks/{playbook}.yml")
    assert done.returncode == 2
    assert "worker1 is not in the deployment plan" in done.stdout
    assert "is undefined" not in done.stdout + done.stderr


def test_bare_hosts_are_looked_at_with_a_plan_of_their_own(tmp_path: Path) -> None:
    home, plan = tmp_path / "home", tmp_path / "plan.json"
    made = plainly(
        home, "mls", "framework", "render", "--inventory", "inventories/local.yml", "--output-dir",
        str(tmp_path / "rendered"), "--preflight-plan", str(plan),
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert plan.stat().st_mode & 0o077 == 0
    done = plainly(home, "ansible-playbook", "-i", "inventories/local.yml", "-e", f"@{plan}", "playbooks/preflight.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    for host in ("management", "server1", "worker1", "worker2"):
        assert f"ok: [{host}]" in done.stdout
