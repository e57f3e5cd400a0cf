"""What inventories render to, pinned byte for byte. MLS_UPDATE_GOLDEN=1 writes the files anew."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlsysops_core.model import KINDS, from_resource, load_descriptions

from mlsysops_cli.inventory import load_slice
from mlsysops_cli.render import RenderedTree, render_slice, write_tree
from mlsysops_cli.slice import SliceLayout, plan_layout, preview_addresses

FACTS: dict[str, Any] = {
    "cpu": {
        "model": "Test CPU",
        "architecture": "amd64",
        "cores": 4,
        "frequency": [800000000, 2400000000],
        "performance_indicator": 4800,
    },
    "memory_bytes": 8_234_000_000,
    "disk_bytes": 120_500_000_000,
    "os": "debian",
    "node_type": "virtualized",
    "container_runtime": ["docker"],
}
CASES = {
    "local": ("inventories/local.yml", ["worker1", "worker2"]),
    "testbed": ("inventories/testbed.yml", ["worker1"]),
    "existing": ("inventories/existing.yml", ["worker-a"]),
    "existing-processes": ("tests/data/inventories/existing-processes.yml", ["worker-a"]),
    "users": ("tests/data/mlsysops/inventory/inv.yml", []),
}


def rendered(repository: Path, case: str) -> tuple[SliceLayout, RenderedTree]:
    inventory, known = CASES[case]
    slice_ = load_slice(str(repository / inventory))
    layout = plan_layout(
        slice_, preview_addresses(slice_), directory=Path("/state") / slice_.name, python="/opt/mlsysops/bin/python"
    )
    return layout, render_slice(layout, dict.fromkeys(known, FACTS))


@pytest.mark.parametrize("case", CASES)
def test_golden(repository: Path, tmp_path: Path, case: str) -> None:
    _, tree = rendered(repository, case)
    write_tree(tree, tmp_path)
    golden = repository / "tests/golden/render" / case
    # Definitions have golden files of their own: templates/crds.
    made = {str(p.relative_to(tmp_path)): p for p in tmp_path.rglob("*.yaml") if "10-crds" not in p.parts}
    if os.environ.get("MLS_UPDATE_GOLDEN"):
        shutil.rmtree(golden, ignore_errors=True)
        for name, path in made.items():
            (golden / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, golden / name)
    wanted = {str(p.relative_to(golden)): p for p in golden.rglob("*.yaml")}
    assert sorted(made) == sorted(wanted)
    for name, path in made.items():
        assert path.read_text(encoding="utf-8") == wanted[name].read_text(encoding="utf-8"), name


@pytest.mark.parametrize("case", CASES)
def test_rendered_descriptions_are_valid_in_both_forms(repository: Path, tmp_path: Path, case: str) -> None:
    _, tree = rendered(repository, case)
    write_tree(tree, tmp_path)
    for path in (tmp_path / "descriptions").rglob("*.yaml"):
        assert load_descriptions(path.read_bytes(), source=path.name)
    resources = [d for name, ds in tree.items() if "/40-descriptions/" in name for d in ds]
    assert {d["kind"] for d in resources} == {"MLSysOpsContinuum", "MLSysOpsCluster", "MLSysOpsNode"}
    for resource in resources:
        from_resource(resource)


@pytest.mark.parametrize("case", CASES)
def test_rendering_is_deterministic_and_writes_only_what_differs(repository: Path, tmp_path: Path, case: str) -> None:
    _, first = rendered(repository, case)
    _, second = rendered(repository, case)
    assert first == second
    assert len(write_tree(first, tmp_path)) == len(first)
    assert write_tree(second, tmp_path) == []


def test_a_file_that_is_no_longer_rendered_goes_and_a_foreign_one_stays(repository: Path, tmp_path: Path) -> None:
    _, tree = rendered(repository, "local")
    write_tree(tree, tmp_path)
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    del tree["continuum/30-policies.yaml"]
    assert write_tree(tree, tmp_path) == ["continuum/30-policies.yaml"]
    assert not (tmp_path / "continuum/30-policies.yaml").exists()
    assert (tmp_path / "notes.txt").exists()


def test_nothing_of_a_node_is_made_up(repository: Path) -> None:
    _, tree = rendered(repository, "users")
    node = tree["descriptions/nodes/mls-test-vm1.yaml"][0]["MLSysOpsNode"]
    assert node["hardware"] == {}
    assert node["environment"] == {"node_type": "virtualized", "container_runtime": ["containerd"]}


def test_the_inventory_has_the_last_word(repository: Path) -> None:
    layout, _ = rendered(repository, "local")
    host = layout.slice.hosts["worker1"]
    node = host.node.model_copy(update={"hardware": {"cpu": {"cores": 2}, "disk": "7"}, "extra": {"mobile": True}})
    layout.slice.hosts["worker1"] = host.model_copy(update={"node": node})
    spec = render_slice(layout, {"worker1": FACTS})["descriptions/nodes/worker1.yaml"][0]["MLSysOpsNode"]
    assert spec["hardware"]["cpu"]["cores"] == 2
    assert spec["hardware"]["cpu"]["model"] == "Test CPU"
    assert spec["hardware"]["disk"] == "7"
    assert spec["mobile"] is True


@pytest.mark.parametrize("case", CASES)
def test_every_role_is_bound_and_every_binding_has_its_role(repository: Path, case: str) -> None:
    _, tree = rendered(repository, case)
    for path in [name for name in tree if name.endswith("20-rbac.yaml")]:

        def key(document: dict[str, Any], kind: str, name: str) -> tuple[str, str, str]:
            return kind, document["metadata"].get("namespace", ""), name

        roles = {key(d, d["kind"], d["metadata"]["name"]) for d in tree[path] if d["kind"] in ("Role", "ClusterRole")}
        bound = {
            key(d, d["roleRef"]["kind"], d["roleRef"]["name"]) for d in tree[path] if d["kind"].endswith("Binding")
        }
        assert roles == bound, path
        for document in tree[path]:
            for rule in document.get("rules", []):
                assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"], path
                assert "secrets" not in rule["resources"], path


def test_policies_name_every_kind_of_ours(repository: Path) -> None:
    _, tree = rendered(repository, "local")
    framework = tree["continuum/30-policies.yaml"][0]
    named = {s["name"] for s in framework["spec"]["resourceSelectors"] if s["kind"] == "CustomResourceDefinition"}
    assert named == {f"{kind.plural}.mlsysops.eu" for kind in KINDS.values()}


def test_yaml_of_files_is_readable_by_people(repository: Path, tmp_path: Path) -> None:
    _, tree = rendered(repository, "users")
    write_tree(tree, tmp_path)
    for path in tmp_path.rglob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith("---\n")
        assert "&id" not in text
        assert [d for d in yaml.safe_load_all(text) if d]
