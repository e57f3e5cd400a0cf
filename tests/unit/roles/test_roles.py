"""Every role is complete: defaults and argument_specs agree, it has a way back, it holds no Python."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
MODULES = sorted((ROOT / "mlsysops_cli/ansible_plugins/modules").glob("mls_*.py"))
#: Roles that change nothing, so that there is nothing to undo.
READ_ONLY = {"validate_inventory", "preflight"}


def load(*parts: str) -> Any:
    return yaml.safe_load(ROOT.joinpath("roles", *parts).read_text(encoding="utf-8"))


@pytest.mark.parametrize("role", ROLES)
def test_defaults_and_argument_specs_agree(role: str) -> None:
    specs = load(role, "meta", "argument_specs.yml")["argument_specs"]
    defaults = load(role, "defaults", "main.yml") or {}
    for entry, spec in specs.items():
        options = spec["options"]
        assert options.keys() == defaults.keys(), f"{role}/{entry}"
        for name, option in options.items():
            assert name.startswith(f"{role}_")
            assert option["default"] == defaults[name], f"{role}/{entry}: {name}"
            assert option["description"]


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_a_way_back(role: str) -> None:
    specs = load(role, "meta", "argument_specs.yml")["argument_specs"]
    twin = (ROOT / "roles" / role / "tasks" / "remove.yml").is_file()
    assert twin == (role not in READ_ONLY)
    assert ("remove" in specs) == twin
    assert load(role, "meta", "main.yml")["galaxy_info"]["license"] == "Apache-2.0"


def test_no_python_in_roles() -> None:
    assert not list((ROOT / "roles").rglob("*.py"))


def test_every_role_is_used() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "playbooks").glob("*.yml")))
    for role in ROLES:
        assert f"role: {role}\n" in text or f"name: {role}\n" in text


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_documentation_of_modules_agrees_with_their_arguments(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in ("DOCUMENTATION", "EXAMPLES", "RETURN")
    }
    documentation = yaml.safe_load(constants["DOCUMENTATION"])
    assert documentation["module"] == path.stem
    yaml.safe_load(constants["EXAMPLES"])
    yaml.safe_load(constants["RETURN"])
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "AnsibleModule"
    ]
    (call,) = calls
    arguments = {keyword.arg: keyword.value for keyword in call.keywords}
    assert ast.literal_eval(arguments["supports_check_mode"]) is True
    spec = ast.literal_eval(arguments["argument_spec"])
    options = documentation["options"]
    assert spec.keys() == options.keys()
    for name, option in options.items():
        documented = {key: value for key, value in option.items() if key != "description"}
        # What must not be logged is no part of a module's documentation.
        assert documented == {key: value for key, value in spec[name].items() if key != "no_log"}, name


def test_every_module_is_known_to_the_linter() -> None:
    lint = yaml.safe_load((ROOT / ".ansible-lint").read_text(encoding="utf-8"))
    assert lint["mock_modules"] == [path.stem for path in MODULES]


@pytest.mark.parametrize("path", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda path: path.stem)
def test_no_play_stops_all_hosts_by_a_template(path: Path) -> None:
    """Tasks inherit it unrendered, and a text that is not empty is true: `max_fail_percentage` is rendered."""
    for play in yaml.safe_load(path.read_text(encoding="utf-8")):
        assert isinstance(play.get("any_errors_fatal", False), bool), play["name"]
