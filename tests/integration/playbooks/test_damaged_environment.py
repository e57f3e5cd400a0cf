"""An environment that does not run any more cannot put settings back, and does not keep the rest from being removed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mlsysops_cli.runner import PlaybookRun, SilentProgress, run_playbook

PLAYBOOK = """
- name: Stop what is ours and remove it
  hosts: all
  gather_facts: false
  tasks:
    - name: Stop the agent
      ansible.builtin.include_role:
        name: agents
        tasks_from: remove

    - name: Go on
      ansible.builtin.debug:
        msg: what destroy.yml looks at
      when: agents_restored is failed
"""


def test_what_a_damaged_environment_cannot_do_is_told_and_the_rest_goes_on(tmp_path: Path, library: Path) -> None:
    config = tmp_path / "node.yml"
    config.touch()
    command = [str(tmp_path / "venv/bin/python"), "-m", "mlsysops_agents", "node", "--config", str(config)]
    agents = {"programs": [{"name": "w1-node-agent", "command": command}]}
    plan = {"hosts": {"w1": {"agents": agents, "supervisor": {"directory": str(tmp_path)}}}}
    variables = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": {"w1": variables}}}), encoding="utf-8")
    (tmp_path / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
    result = run_playbook(
        PlaybookRun(
            playbook=tmp_path / "play.yml",
            inventories=[tmp_path / "hosts.json"],
            state=tmp_path / "state",
            logs=tmp_path / "logs",
            local_only=True,
            variables={"mls_plan": plan},
            environment={"ANSIBLE_LIBRARY": str(library)},
        ),
        SilentProgress(),
    )
    assert "what destroy.yml looks at" in Path(result.log).read_text(encoding="utf-8")
    assert result.returncode == 0
    (failure,) = result.failures
    assert failure.task.endswith("Put back what the agent changed on its machine")
    assert "venv/bin/python" in failure.message
