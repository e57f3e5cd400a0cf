"""Runs roles with plain ansible-playbook, each in a play of its own, and tells what each did: for tests of single roles."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from newcomer import Newcomer

ROOT = Path(__file__).parents[2]
PLAN = (
    "import sys\n"
    "from mlsysops_cli.actions.framework.prepare import prepare\n"
    "from mlsysops_cli.settings import Settings\n"
    "made = prepare(Settings(), sys.argv[1], vault_password_file=None, descriptions=None, check=None)\n"
    "print(made.plan, made.hosts)\n"
)


@dataclass
class Played:
    """What a role did in a play of its own."""

    changed: int = 0
    failed: int = 0
    text: str = ""


class Plays:
    """Plays on the hosts of a slice whose plan has been made, and which is not deployed.

    Args:
        person: Who plays.
        inventory: The slice's.
        environment: Further settings of Ansible.
    """

    def __init__(self, person: Newcomer, inventory: Path, **environment: str) -> None:
        self.person = person
        self.inventory = inventory
        (person.work / "plan.py").write_text(PLAN, encoding="utf-8")
        self.plan, self.hosts = person.run(f"python plan.py {inventory}", timeout=900).out.split()
        plugins = ROOT / "mlsysops_cli/ansible_plugins"
        self.environment = {
            "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
            "ANSIBLE_LIBRARY": str(plugins / "modules"),
            "ANSIBLE_MODULE_UTILS": str(plugins / "module_utils"),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_NOCOLOR": "1",
            **environment,
        }

    def run(self, plays: list[dict[str, Any]] | Path, *options: str, timeout: float = 550) -> dict[str, Played]:
        """Run plays; return what each of those did that have a name.

        Args:
            plays: As a playbook has them, or a playbook.
            options: Of ansible-playbook.
            timeout: Seconds.

        Raises:
            AssertionError: A play did not begin.
        """
        if isinstance(plays, Path):
            path = plays
            plays = yaml.safe_load(path.read_text(encoding="utf-8"))
        else:
            path = self.person.work / "plays.yml"
            path.write_text(yaml.safe_dump(plays, sort_keys=False), encoding="utf-8")
        kept = dict(self.person.environment)
        self.person.environment |= self.environment
        inventories = f"-i {self.inventory} -i {self.hosts}"
        try:
            command = f"ansible-playbook {inventories} -e @{self.plan} {' '.join(options)} {path}"
            done = self.person.run(command, timeout=timeout, expect=None)
        finally:
            self.person.environment.clear()
            self.person.environment |= kept
        played = {str(play["name"]): Played() for play in plays if "name" in play}
        for section in re.split(r"^PLAY ", done.out, flags=re.MULTILINE)[1:]:
            name = section[1 : section.index("]")] if section.startswith("[") else ""
            if name in played:
                played[name].text += section + done.err
                played[name].changed += len(re.findall(r"^changed: \[", section, flags=re.MULTILINE))
                played[name].failed += len(re.findall(r"^(?:fatal|failed): \[", section, flags=re.MULTILINE))
        assert all(one.text for one in played.values()), done.out + done.err
        return played


def role(name: str, hosts: str, tasks_from: str = "main", **play: Any) -> dict[str, Any]:
    """Return a play of one role.

    Args:
        name: The role.
        hosts: Expression of the hosts it is for.
        tasks_from: Which of its tasks.
        play: Further keys of the play; ``name`` where it is not the role's.
    """
    task = {"ansible.builtin.include_role": {"name": name, "tasks_from": tasks_from}}
    return {"name": name, "hosts": "{{ " + hosts + " }}", "gather_facts": False, "tasks": [task], **play}
