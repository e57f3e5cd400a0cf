"""What is written of a rendered tree: what differs, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlsysops_cli.render import tree as rendering
from mlsysops_cli.render.tree import write_tree

TREE = {"a/one.yaml": [{"kind": "One", "list": [1, 2]}], "two.yaml": [{"kind": "Two"}, {"kind": "Three"}]}


def test_only_what_differs_is_written(tmp_path: Path) -> None:
    assert write_tree(TREE, tmp_path) == ["a/one.yaml", "two.yaml"]
    assert write_tree(TREE, tmp_path) == []
    (tmp_path / "two.yaml").write_text("kind: Edited\n", encoding="utf-8")
    (tmp_path / "a/one.yaml").unlink()
    assert write_tree(TREE, tmp_path) == ["a/one.yaml", "two.yaml"]
    assert (tmp_path / "two.yaml").read_text(encoding="utf-8") == "---\nkind: Two\n---\nkind: Three\n"
    assert write_tree({**TREE, "two.yaml": [{"kind": "Four"}]}, tmp_path) == ["two.yaml"]
    assert write_tree({"two.yaml": [{"kind": "Four"}]}, tmp_path) == ["a/one.yaml"]
    assert not (tmp_path / "a/one.yaml").exists()


def test_objects_that_are_the_same_are_not_made_text_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(TREE, tmp_path)
    monkeypatch.setattr(rendering, "dump_documents", lambda _documents: pytest.fail("was made again"))
    assert write_tree(TREE, tmp_path) == []


def test_the_order_of_keys_counts(tmp_path: Path) -> None:
    write_tree({"x.yaml": [{"a": 1, "b": 2}]}, tmp_path)
    assert write_tree({"x.yaml": [{"b": 2, "a": 1}]}, tmp_path) == ["x.yaml"]


def test_a_marker_of_an_older_version(tmp_path: Path) -> None:
    write_tree(TREE, tmp_path)
    (tmp_path / ".mls-rendered").write_text("a/one.yaml\ngone.yaml\ntwo.yaml\n../outside\n", encoding="utf-8")
    (tmp_path / "gone.yaml").touch()
    assert write_tree(TREE, tmp_path) == ["gone.yaml"]
    assert write_tree(TREE, tmp_path) == []
