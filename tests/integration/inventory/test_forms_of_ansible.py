"""Inventories in all the forms that Ansible takes, and what is none, with Ansible's own loader."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from mlsysops_core.errors import InvalidInput

from mlsysops_cli.inventory import load_inventory, load_slice

TESTS = Path(__file__).parents[2]


def test_ini_directory_with_group_and_host_vars(tmp_path: Path) -> None:
    (tmp_path / "hosts.ini").write_text(
        "[management]\nm\n[c_servers]\ns\n[c_workers]\nw\n[c:children]\nc_servers\nc_workers\n", encoding="utf-8"
    )
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/all.yml").write_text("mls_slice: inits\nansible_connection: local\n", encoding="utf-8")
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars/w.yml").write_text("mls_continuum_layer: cloud\n", encoding="utf-8")
    slice_ = load_slice(str(tmp_path))
    assert slice_.name == "inits"
    assert slice_.clusters[0].workers == ["w"]
    assert slice_.hosts["w"].node.continuum_layer == "cloud"


def test_dynamic_inventory(tmp_path: Path) -> None:
    program = tmp_path / "dynamic"
    program.write_text(
        '#!/bin/sh\necho \'{"management": ["m"], "c": {"children": ["master_nodes"]}, '
        '"master_nodes": ["s"], "_meta": {"hostvars": {"m": {}, "s": {}}}}\'\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    slice_ = load_slice(str(program))
    assert slice_.clusters[0].servers == ["s"]
    assert slice_.warnings == ["cluster c has no worker: nothing can run in it yet"]


def test_vaulted_inventory(tmp_path: Path, repository: Path) -> None:
    path, password = tmp_path / "inv.yml", tmp_path / "password"
    path.write_bytes((repository / "inventories/local.yml").read_bytes())
    password.write_text("secret\n", encoding="utf-8")
    vault = str(Path(sys.executable).parent / "ansible-vault")
    subprocess.run(
        [vault, "encrypt", "--vault-password-file", str(password), str(path)], check=True, capture_output=True
    )
    assert load_slice(str(path), vault_password_file=str(password)).name == "local"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty"),
        (b"all: \xff\xfe", "not UTF-8 text"),
        (b"all:\n  hosts:\n    a: {x: 1, x: 2}\n", "duplicate mapping key 'x'"),
        (b"all:\n  hosts: [\n", ""),
        (b"all:\n  hosts: {}\n", "has no hosts"),
        (b"$ANSIBLE_VAULT;1.1;AES256\n3132\n", "vault"),
    ],
)
def test_unreadable_inventory_is_one_fault(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "inv.yml"
    path.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        load_slice(str(path))
    (fault,) = caught.value.faults
    assert expected in str(fault).lower() or expected in str(fault)
    assert "\n" not in str(fault)


@pytest.fixture(scope="module")
def of_unit_tests() -> ModuleType:
    """The loader that unit tests have in the place of Ansible's."""
    spec = importlib.util.spec_from_file_location("of_unit_tests", TESTS / "unit" / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


NESTED = """\
all:
  vars: {a: all, b: all, c: all, d: all}
  hosts: {lonely: {}}
  children:
    management_cluster: {hosts: {m: {a: own}}}
    zone:
      vars: {b: zone, c: zone, d: zone}
      children:
        servers: {hosts: {s: }, vars: {c: servers}}
        workers: {hosts: {w2: {d: own}, w1: {}}, vars: {c: workers, d: workers}}
    another: {hosts: {w1: {x: 1}}, vars: {b: another, d: another}}
"""


@pytest.mark.parametrize(
    "inventory",
    [
        "inventories/local.yml", "inventories/testbed.yml", "inventories/existing.yml",
        "tests/data/mlsysops/inventory/inv.yml", "tests/data/inventories/existing-processes.yml", "nested",
    ],
)  # fmt: skip
def test_unit_tests_read_what_ansible_reads(
    of_unit_tests: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, inventory: str
) -> None:
    path = TESTS.parent / inventory
    if inventory == "nested":
        path = tmp_path / "nested.yml"
        path.write_text(NESTED, encoding="utf-8")
    theirs = load_inventory(str(path))
    monkeypatch.setattr("mlsysops_cli.reading.Reading", of_unit_tests.ParsedInventory)
    ours = load_inventory(str(path))
    facts = {"ansible_local"}  # Ansible gives each host an empty one
    known = {host: {k: v for k, v in own.items() if k not in facts} for host, own in theirs.hosts.items()}
    assert ours.hosts == known
    assert list(ours.hosts) == list(theirs.hosts)
    assert {name: hosts for name, hosts in ours.groups.items() if hosts} == {
        n: h for n, h in theirs.groups.items() if h
    }
